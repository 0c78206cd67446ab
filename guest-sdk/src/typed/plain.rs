//! Text, booleans, doubles, secrets, and what may be missing.

use super::{ArrivesSealed, InputValue, OutputValue};
use crate::{Call, Failure, Parameter, Secret, Value, ValueType};

impl InputValue for String {
    const TYPE: ValueType = ValueType::Text;

    fn read(call: &Call, name: &str) -> Result<String, Failure> {
        call.text(name).map(str::to_owned)
    }
}

impl OutputValue for String {
    const TYPE: ValueType = ValueType::Text;

    fn write(self) -> Result<Value, String> {
        Ok(Value::Text(self))
    }
}

impl InputValue for bool {
    const TYPE: ValueType = ValueType::Boolean;

    fn read(call: &Call, name: &str) -> Result<bool, Failure> {
        call.boolean(name)
    }
}

impl OutputValue for bool {
    const TYPE: ValueType = ValueType::Boolean;

    fn write(self) -> Result<Value, String> {
        Ok(Value::Boolean(self))
    }
}

impl InputValue for f64 {
    const TYPE: ValueType = ValueType::Number;

    fn read(call: &Call, name: &str) -> Result<f64, Failure> {
        call.number(name)
    }
}

impl OutputValue for f64 {
    const TYPE: ValueType = ValueType::Number;

    fn write(self) -> Result<Value, String> {
        if self.is_finite() {
            Ok(Value::Number(self))
        } else {
            Err(format!("is {self}, which is no number to others"))
        }
    }
}

impl InputValue for Secret {
    const TYPE: ValueType = ValueType::Text;

    fn parameter(name: &str, doc: &str) -> Parameter {
        Parameter::text(name, doc).sensitive()
    }

    fn read(call: &Call, name: &str) -> Result<Secret, Failure> {
        call.secret(name)
    }
}

impl ArrivesSealed for Secret {}

impl ArrivesSealed for Option<Secret> {}

/// Null and a value that nobody gave are `None`.
impl<T: InputValue> InputValue for Option<T> {
    const TYPE: ValueType = T::TYPE;

    fn parameter(name: &str, doc: &str) -> Parameter {
        T::parameter(name, doc).or(Value::Null)
    }

    fn read(call: &Call, name: &str) -> Result<Option<T>, Failure> {
        if call.is_given(name) {
            T::read(call, name).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// `None` leaves the output out.
impl<T: OutputValue> OutputValue for Option<T> {
    const TYPE: ValueType = T::TYPE;

    fn parameter(name: &str, doc: &str) -> Parameter {
        T::parameter(name, doc).or(Value::Null)
    }

    fn write(self) -> Result<Value, String> {
        self.map_or(Ok(Value::Null), OutputValue::write)
    }
}
