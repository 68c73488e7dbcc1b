//! Generates the struct of the table from what `millstream schema export typed.orders` printed (needs the `capnp` tool).

fn main() {
    println!("cargo:rerun-if-changed=schema/orders.capnp");
    if let Err(error) = capnpc::CompilerCommand::new().src_prefix("schema").file("schema/orders.capnp").run() {
        panic!(
            "compiling schema/orders.capnp failed: {error}\n\
             The `capnp` tool is needed at build time: apt-get install capnproto (or run `make setup`)."
        );
    }
}
