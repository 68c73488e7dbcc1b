//! A program with generated code (`tests/typed-client`) reads fields straight from the receive buffer: what it was
//! compiled from is what `millstream schema export` prints, it goes on across an ALTER TABLE that leaves its fields alone,
//! and it is told, by name, of one that does not. It never reads a zero or a NULL that is not the row's.

use std::process::Command;

use anyhow::ensure;
use millstream_tests::harness::{
    Flavour, Millstreamd, MysqlServer, Options, Program, bound_command, repository, workspace_program,
};

const TABLE: &str = "CREATE TABLE typed.orders (id INT PRIMARY KEY, customer_name VARCHAR(60), total DECIMAL(10,2),
    quantity INT UNSIGNED, paid_at DATETIME(6), note TEXT, state ENUM('new', 'paid'))";

/// A status of `millstream-typed-client`.
const SCHEMA_BREAK: i32 = 4;

/// It has subscribed when this returns.
fn typed_client(daemon: &Millstreamd) -> anyhow::Result<Program> {
    let mut command = bound_command(&workspace_program("millstream-typed-client")?);
    command.args([&daemon.listen.to_string(), "typed", "1000"]);
    let mut client = Program::start(command)?;
    ensure!(client.line()? == "subscribed");
    Ok(client)
}

/// With a server of its own: the struct's id follows from the table's name.
fn start() -> Option<(MysqlServer, Millstreamd)> {
    let server = MysqlServer::start(Flavour::Mysql97, &[]).unwrap()?;
    server.sql("CREATE DATABASE typed").unwrap();
    server.sql(TABLE).unwrap();
    let daemon = Millstreamd::start(&server, Options::default()).unwrap();
    Some((server, daemon))
}

fn export(daemon: &Millstreamd) -> String {
    let output = Command::new(workspace_program("millstream").unwrap())
        .args(["schema", "export", "--admin", &daemon.admin.to_string(), "typed.orders"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A statement, and the line that the client prints for it; empty: none.
type Step = (&'static str, &'static str);

/// Runs the steps, then the statement that breaks the client, which must name `field`.
fn check(steps: &[Step], breaking: &str, behind: &str, field: &str) {
    let Some((server, daemon)) = start() else { return };
    let mut client = typed_client(&daemon).unwrap();
    let session = server.session().unwrap();
    session.run("USE typed").unwrap();
    for (statement, expected) in steps {
        session.query(statement).unwrap();
        if !expected.is_empty() {
            assert_eq!(client.line().unwrap(), *expected, "{statement}\n{}", daemon.log());
        }
        if statement.starts_with("INSERT INTO orders VALUES (1,") {
            let committed = repository().join("tests/typed-client/schema/orders.capnp");
            assert_eq!(export(&daemon), std::fs::read_to_string(&committed).unwrap(), "{}", committed.display());
        }
    }
    session.query(breaking).unwrap();
    session.query(behind).unwrap();
    let broken = |mut client: Program| {
        let (status, errors) = client.end().unwrap();
        assert_eq!(status, Some(SCHEMA_BREAK), "{errors}");
        assert!(errors.contains(&format!("typed.orders.{field}")), "{errors}");
    };
    broken(client);
    // the cursor has not passed the row: the next one breaks at it too, and loses nothing
    broken(typed_client(&daemon).unwrap());
}

const FIRST: Step = (
    "INSERT INTO orders VALUES (1, 'Ärger 🦀', 12.5, 4000000000, '1970-01-01 00:00:01', 'n', 'paid')",
    "insert id=1 name=Ärger 🦀 total=12.50 quantity=4000000000 paid_at=1000000",
);

#[test]
fn generated_code_reads_on_until_a_field_of_its_own_is_dropped() {
    check(
        &[
            FIRST,
            (
                "INSERT INTO orders (id, quantity) VALUES (0, 0)",
                "insert id=0 name=NULL total=NULL quantity=0 paid_at=NULL",
            ),
            // what it does not know
            ("ALTER TABLE orders ADD COLUMN priority BIGINT NOT NULL DEFAULT 7 AFTER id", ""),
            (
                "UPDATE orders SET quantity = 5, priority = 9 WHERE id = 1",
                "update id=1 name=Ärger 🦀 total=12.50 quantity=5 paid_at=1000000",
            ),
            // what it does not read
            ("ALTER TABLE orders DROP COLUMN note, MODIFY COLUMN state VARCHAR(10)", ""),
            (
                "UPDATE orders SET total = 99999999.99 WHERE id = 1",
                "update id=1 name=Ärger 🦀 total=99999999.99 quantity=5 paid_at=1000000",
            ),
            // another place, and another name for the old content
            ("ALTER TABLE orders MODIFY COLUMN total DECIMAL(10,2) FIRST", ""),
            ("ALTER TABLE orders RENAME COLUMN customer_name TO name", ""),
            (
                "UPDATE orders SET quantity = 6 WHERE id = 1",
                "update id=1 name=Ärger 🦀 total=99999999.99 quantity=6 paid_at=1000000",
            ),
            ("DELETE FROM orders WHERE id = 0", "delete id=0 name=NULL total=NULL quantity=0 paid_at=NULL"),
        ],
        "ALTER TABLE orders DROP COLUMN quantity",
        "UPDATE orders SET total = 1 WHERE id = 1",
        "quantity",
    );
}

#[test]
fn generated_code_reads_on_until_a_field_of_its_own_changes_its_type() {
    check(
        &[FIRST],
        "ALTER TABLE orders MODIFY COLUMN quantity BIGINT UNSIGNED",
        "UPDATE orders SET quantity = 5000000000 WHERE id = 1",
        "quantity",
    );
}
