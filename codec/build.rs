//! Generates the reader and builder types of the client protocol from its schema (needs the `capnp` tool).

fn main() {
    println!("cargo:rerun-if-changed=schema/millstream.capnp");
    if let Err(error) = capnpc::CompilerCommand::new().src_prefix("schema").file("schema/millstream.capnp").run() {
        panic!(
            "compiling schema/millstream.capnp failed: {error}\n\
             The `capnp` tool is needed at build time: apt-get install capnproto (or run `make setup`)."
        );
    }
}
