;; A step around a core module: the types of guest-sdk/wit, and what crosses the boundary. Names in braces stand for
;; what is special in the module and around it.
;;
;; A core module has `memory`, `realloc`, `run` and `run-post`. `run` answers with the address of its result; an
;; address of zeroes is a success without outputs. `describe` answers with zeroes at 0x4000: no inputs, no outputs.
(component
  (import "stephost:step/context@0.1.0" (instance $context
    (export "grace-millis" (func (result u64)))))
  (core func $grace (canon lower (func $context "grace-millis")))

  (core module $core
    (import "context" "grace-millis" (func $grace (result i64)))
    (func (export "describe") (result i32) (i32.const 0x4000))
    {core})
  (core instance $core (instantiate $core
    (with "context" (instance (export "grace-millis" (func $grace))))))
  (alias core export $core "memory" (core memory $memory))
  (alias core export $core "realloc" (core func $realloc))
  (alias core export $core "run-post" (core func $run-post))
  {component}

  (type $value' (variant
    (case "null") (case "boolean" bool) (case "number" f64) (case "text" string) (case "json" string)))
  (export $value "value" (type $value'))
  (type $value-type' (enum "text" "number" "boolean" "object" "array"))
  (export $value-type "value-type" (type $value-type'))
  (type $parameter' (record
    (field "name" string) (field "ty" $value-type) (field "default" (option $value))
    (field "sensitive" bool) (field "doc" string)))
  (export $parameter "parameter" (type $parameter'))
  (type $signature' (record
    (field "summary" string) (field "inputs" (list $parameter)) (field "outputs" (list $parameter))))
  (export $signature "signature" (type $signature'))
  (type $denial' (record (field "capability" string) (field "target" string) (field "code" string)))
  (export $denial "denial" (type $denial'))
  (type $failed-step' (record (field "message" string) (field "exit-code" (option s32))))
  (export $failed-step "failed-step" (type $failed-step'))
  (type $invalid-input' (record (field "name" string) (field "message" string)))
  (export $invalid-input "invalid-input" (type $invalid-input'))
  (type $failure' (variant
    (case "failed" $failed-step) (case "invalid-input" $invalid-input) (case "denied" $denial) (case "cancelled")))
  (export $failure "failure" (type $failure'))
  (type $argument' (record (field "name" string) (field "value" $value)))
  (export $argument "argument" (type $argument'))
  (type $outcome' (record
    (field "outputs" (list (tuple string $value))) (field "exports" (list (tuple string string)))))
  (export $outcome "outcome" (type $outcome'))

  (func $describe (result $signature)
    (canon lift (core func $core "describe") (memory $memory)))
  (func $run (param "arguments" (list $argument)) (result (result $outcome (error $failure)))
    (canon lift (core func $core "run") (memory $memory) (realloc $realloc) (post-return $run-post)))
  (instance $function (export "describe" (func $describe)) (export "run" (func $run)))
  (export "stephost:step/function@0.1.0" (instance $function)))
