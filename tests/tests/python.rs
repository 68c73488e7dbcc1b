//! A Python program that has nothing of ours but the schema file reads rows by the names of their columns, and goes on
//! doing so while the table is altered: a value that is there is never read as zero or NULL.

use anyhow::Context;
use millstream_tests::harness::{
    DESTINATION, Flavour, Millstreamd, MysqlServer, Options, Program, bound_command, python, repository,
};
use serde_json::{Value, json};

/// Starts `follow.py`; it has subscribed when this returns. `None` where there is no pycapnp.
fn follow(daemon: &Millstreamd, transactions: usize) -> anyhow::Result<Option<Program>> {
    let Some(python) = python() else {
        eprintln!("not run: pycapnp is not here (make setup)");
        return Ok(None);
    };
    let mut command = bound_command(&python);
    command
        .arg(repository().join("tests/python/follow.py"))
        .arg(repository().join("codec/schema/millstream.capnp"))
        .args([&daemon.listen.to_string(), DESTINATION, "follow.py", "py.*", &transactions.to_string()]);
    let mut program = Program::start(command)?;
    assert_eq!(line(&mut program)?, json!({"subscribed": true}));
    Ok(Some(program))
}

fn line(program: &mut Program) -> anyhow::Result<Value> {
    let line = program.line()?;
    serde_json::from_str(&line).context(line)
}

/// The last ack has become durable, and the program ends well.
fn ends_durably(mut program: Program) {
    assert_eq!(line(&mut program).unwrap(), json!({"durable": true}));
    let (status, errors) = program.end().unwrap();
    assert_eq!(status, Some(0), "{errors}");
}

/// Each statement, and the line that it makes.
fn check(flavour: Flavour) {
    let Some(server) = MysqlServer::shared(flavour) else { return };
    server.sql(TABLE).unwrap();
    let daemon = Millstreamd::start(server, Options::default()).unwrap();
    let steps = steps();
    let Some(mut program) = follow(&daemon, steps.len()).unwrap() else { return };
    let session = server.session().unwrap();
    session.query("USE py").unwrap();
    for (statement, expected) in &steps {
        session.query(statement).unwrap();
        let came = line(&mut program).unwrap_or_else(|error| panic!("{statement}: {error:#}\n{}", daemon.log()));
        let expected = if expected.is_null() { json!({"ddl": statement}) } else { expected.clone() };
        assert_eq!(came, expected, "{statement}");
    }
    ends_durably(program);
    // what was acknowledged does not come again, what came meanwhile does
    session.query("UPDATE orders SET name = 'again' WHERE id = 1").unwrap();
    let mut program = follow(&daemon, 1).unwrap().expect("it was there before");
    let again = line(&mut program).unwrap();
    assert_eq!((&again["op"], &again["after"]["name"]), (&json!("update"), &json!("again")));
    ends_durably(program);
}

const TABLE: &str = "CREATE DATABASE py;
    CREATE TABLE py.orders (id INT PRIMARY KEY, customer_name VARCHAR(40), total DECIMAL(10,2), paid_at DATETIME(3),
        state ENUM('new', 'paid'), mark TINYINT UNSIGNED, octets VARBINARY(8), `class` DOUBLE)";

#[test]
fn a_python_program_reads_rows_by_column_name_while_a_table_of_mysql97_is_altered() {
    check(Flavour::Mysql97);
}

#[test]
fn a_python_program_reads_rows_by_column_name_while_a_table_of_mariadb118_is_altered() {
    check(Flavour::Mariadb118);
}

/// Statements and lines; null stands for the line of the statement itself.
fn steps() -> Vec<(&'static str, Value)> {
    let table = "py.orders";
    // 2024-05-06 07:08:09.010, in microseconds of the wall clock
    let paid_at = 1_714_979_289_010_000_i64;
    let one = json!({"id": 1, "customer_name": "Ärger 🦀", "total": "12.50", "paid_at": paid_at, "state": 2, "mark": 255,
        "octets": {"hex": "00ff"}, "class": 0.5});
    let mut steps = vec![
        (
            "INSERT INTO orders VALUES (1, 'Ärger 🦀', 12.5, '2024-05-06 07:08:09.01', 'paid', 255, x'00FF', 0.5)",
            json!({"op": "insert", "table": table, "after": one}),
        ),
        (
            "INSERT INTO orders (id, mark) VALUES (2, 0)",
            json!({"op": "insert", "table": table, "after": {"id": 2, "customer_name": null, "total": null, "paid_at": null,
                "state": null, "mark": 0, "octets": null, "class": null}}),
        ),
    ];
    let mut after = one.as_object().cloned().unwrap_or_default();
    // a new column in the middle, with a default that the rows of before have too
    after.insert("priority".into(), json!(7));
    steps.push(("ALTER TABLE orders ADD COLUMN priority INT NOT NULL DEFAULT 7 AFTER id", Value::Null));
    let mut before = after.clone();
    after.insert("priority".into(), json!(9));
    steps.push((
        "UPDATE orders SET priority = 9 WHERE id = 1",
        json!({"op": "update", "table": table, "before": before, "after": after}),
    ));
    // one goes
    steps.push(("ALTER TABLE orders DROP COLUMN paid_at", Value::Null));
    before = after.clone();
    before.remove("paid_at");
    after = before.clone();
    after.insert("mark".into(), json!(1));
    steps.push((
        "UPDATE orders SET mark = 1 WHERE id = 1",
        json!({"op": "update", "table": table, "before": before, "after": after}),
    ));
    // another type under the old name
    steps.push(("ALTER TABLE orders MODIFY COLUMN mark VARCHAR(10)", Value::Null));
    before = after.clone();
    before.insert("mark".into(), json!("1"));
    after = before.clone();
    after.insert("mark".into(), json!("text now"));
    steps.push((
        "UPDATE orders SET mark = 'text now' WHERE id = 1",
        json!({"op": "update", "table": table, "before": before, "after": after}),
    ));
    // another name for the old content
    steps.push(("ALTER TABLE orders RENAME COLUMN customer_name TO name", Value::Null));
    if let Some(name) = after.remove("customer_name") {
        after.insert("name".into(), name);
    }
    steps.push(("DELETE FROM orders WHERE id = 2", {
        let mut gone = after.clone();
        for (_, value) in &mut gone {
            *value = Value::Null;
        }
        gone.insert("id".into(), json!(2));
        gone.insert("priority".into(), json!(7));
        gone.insert("mark".into(), json!("0"));
        json!({"op": "delete", "table": table, "before": gone})
    }));
    // the dropped one comes back, with content of its own
    steps.push(("ALTER TABLE orders ADD COLUMN paid_at DATETIME(3)", Value::Null));
    before = after.clone();
    before.insert("paid_at".into(), Value::Null);
    after = before.clone();
    after.insert("paid_at".into(), json!(paid_at));
    steps.push((
        "UPDATE orders SET paid_at = '2024-05-06 07:08:09.01' WHERE id = 1",
        json!({"op": "update", "table": table, "before": before, "after": after}),
    ));
    steps
}
