//! Generates the types and both sides of the service from `step_runner.proto`, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=step_runner.proto");
    let descriptor = protox::compile(["step_runner.proto"], ["."])?;
    let bytes = prost::Message::encode_to_vec(&descriptor);
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    std::fs::write(std::path::Path::new(&out).join("descriptor.bin"), bytes)?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::TolerantCodec")
        // A piece of a log is large and only handed on.
        .bytes(".proto.FollowLogsResponse.data")
        .compile_fds(descriptor)?;
    Ok(())
}
