use std::sync::Arc;

use millstream_codec::mysql::schema::ColumnType;

use super::*;
use crate::source::statement::{Dialect, SqlMode, Statement, classify};

fn mariadb() -> Dialect {
    Dialect { is_mariadb: true, server_version: 110_806, ..Dialect::default() }
}

fn session() -> Session<'static> {
    Session { database: "d", server_charset: Some("utf8mb4"), ..Session::default() }
}

fn apply_in(catalog: &mut Catalog, sql: &str, session: &Session<'_>) -> Effect {
    match classify(sql.as_bytes(), session) {
        Statement::Ddl(ddl) => catalog.apply(&ddl, session),
        other => panic!("{sql}: {other:?}"),
    }
}

fn apply(catalog: &mut Catalog, sql: &str) -> Effect {
    apply_in(catalog, sql, &session())
}

/// After all of these statements, on MySQL.
fn after(statements: &[&str]) -> Catalog {
    let mut catalog = Catalog::new(ServerFacts::default());
    catalog.put_database("d", "latin1".into());
    for sql in statements {
        let effect = apply(&mut catalog, sql);
        assert!(!matches!(effect.outcome, Outcome::Dangerous { .. }), "{sql}: {effect:?}");
    }
    catalog
}

fn known<'a>(catalog: &'a Catalog, table: &str) -> &'a Arc<TableDefinition> {
    match catalog.table("d", table) {
        TableState::Known(definition) => definition,
        other => panic!("{table}: {other:?}"),
    }
}

/// `name:key` where it is part of the primary key.
fn columns(catalog: &Catalog, table: &str) -> Vec<String> {
    known(catalog, table)
        .columns
        .iter()
        .map(|column| match column.primary_key {
            0 => column.name.clone(),
            place => format!("{}:{place}", column.name),
        })
        .collect()
}

fn types(definitions: &str, session: &Session<'_>) -> Vec<DefinedType> {
    let mut catalog = Catalog::new(ServerFacts::default());
    catalog.put_database("d", "latin1".into());
    let effect = apply_in(&mut catalog, &format!("CREATE TABLE t ({definitions})"), session);
    assert_eq!(effect.outcome, Outcome::Understood, "{definitions}: {effect:?}");
    known(&catalog, "t").columns.iter().map(|column| column.defined_type.clone()).collect()
}

#[test]
fn columns_are_placed_as_the_servers_do_it() {
    let check = |alter: &str, expected: &[&str]| {
        let catalog = after(&["CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, c INT)", alter]);
        assert_eq!(columns(&catalog, "t"), expected, "{alter}");
    };
    check(
        "ALTER TABLE t ADD x INT FIRST, ADD y INT AFTER a, ADD (p INT, q INT)",
        &["x", "id:1", "a", "y", "b", "c", "p", "q"],
    );
    check("ALTER TABLE t DROP a, ADD a INT", &["id:1", "b", "c", "a"]);
    check("ALTER TABLE t CHANGE a b INT, CHANGE b a INT", &["id:1", "b", "a", "c"]);
    check("ALTER TABLE t MODIFY c INT FIRST, MODIFY id INT AFTER b", &["c", "a", "b", "id:1"]);
    check(
        "ALTER TABLE t ADD x INT AFTER cc, CHANGE c cc INT AFTER id, ADD y INT AFTER cc",
        &["id:1", "cc", "y", "a", "b", "x"],
    );
    check("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a", &["id:1", "b", "a", "c"]);
    check("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (c, a(3))", &["id", "a:2", "b", "c:1"]);
    check("ALTER TABLE t DROP id, ADD n INT KEY", &["a", "b", "c", "n:1"]);
    check("ALTER TABLE t ADD x INT PARTITION BY KEY (id) PARTITIONS 2", &["id:1", "a", "b", "c", "x"]);
    check("ALTER TABLE t ORDER BY a, b DESC, ADD x INT", &["id:1", "a", "b", "c", "x"]);
    check("ALTER TABLE t ENGINE=InnoDB COMMENT='x, DROP a' CHARSET utf8", &["id:1", "a", "b", "c"]);
}

#[test]
fn keys_follow_their_columns() {
    let statements =
        ["CREATE TABLE t (a INT, b INT, c INT, PRIMARY KEY (c, a, b))", "ALTER TABLE t CHANGE a x INT FIRST, DROP c"];
    assert_eq!(columns(&after(&statements), "t"), ["x:1", "b:2"]);
    assert_eq!(columns(&after(&[statements[0], "DROP INDEX `PRIMARY` ON t"]), "t"), ["a", "b", "c"]);
    assert_eq!(columns(&after(&[statements[0], "ALTER TABLE t DROP KEY `PRIMARY`"]), "t"), ["a", "b", "c"]);
    assert_eq!(columns(&after(&[statements[0], "DROP INDEX other ON t"]), "t"), ["a:2", "b:3", "c:1"]);
}

#[test]
fn what_is_not_understood_leaves_tables_in_doubt() {
    let check = |sql: &str, expected: &[&str]| {
        let mut catalog = after(&["CREATE TABLE t (a INT)", "CREATE TABLE u (a INT)"]);
        let effect = apply(&mut catalog, sql);
        assert!(matches!(effect.outcome, Outcome::Dangerous { .. }), "{sql}: {effect:?}");
        let in_doubt: Vec<&str> = catalog
            .tables()
            .filter(|(_, state)| matches!(state, TableState::Doubtful(_)))
            .map(|((_, table), _)| table.as_str())
            .collect();
        assert_eq!(in_doubt, expected, "{sql}");
        for table in expected {
            assert!(effect.changed.contains(&("d".to_owned(), (*table).to_owned())), "{sql}: {effect:?}");
        }
    };
    check("ALTER TABLE t FROBNICATE x", &["t"]);
    check("ALTER TABLE t ADD x FROB", &["t"]);
    check("ALTER TABLE t ADD x INT FROBBED", &["t"]);
    check("ALTER TABLE t DROP nothing", &["t"]);
    check("ALTER TABLE t MODIFY nothing INT", &["t"]);
    check("ALTER TABLE t CHANGE nothing x INT", &["t"]);
    check("ALTER TABLE t ADD x INT AFTER nothing", &["t"]);
    check("ALTER TABLE t ADD A INT", &["t"]);
    check("ALTER TABLE t ADD PRIMARY KEY (nothing)", &["t"]);
    check("ALTER TABLE t DROP nothing, RENAME w", &["w"]);
    check("ALTER TABLE unheard ADD x INT", &["unheard"]);
    check("RENAME TABLE unheard TO v", &["v"]);
    check("CREATE TABLE x LIKE unheard", &["x"]);
    check("CREATE TABLE x (a INT) SELECT 1 AS b", &["x"]);
    check("CREATE TABLE x ENGINE=CONNECT", &["x"]);
    check("CREATE TABLE x (a FROB)", &["x"]);
    check("CREATE TABLE x (a CHAR(3) CHARACTER SET klingon)", &["x"]);
    check("CREATE TABLE x (a INT) FROBBED", &["x"]);
    check("CREATE FROBNICATION f", &["t", "u"]);
    check("ALTER TABLE", &["t", "u"]);
}

#[test]
fn a_doubt_stays_until_the_table_is_read() {
    let mut catalog = after(&["CREATE TABLE t (a INT)"]);
    catalog.doubt("d", "t", "because");
    let effect = apply(&mut catalog, "ALTER TABLE t ADD b INT, RENAME TO u");
    assert_eq!((effect.outcome, effect.changed.len()), (Outcome::Understood, 2));
    assert_eq!(catalog.table("d", "t"), TableState::Absent);
    assert_eq!(catalog.table("d", "u"), TableState::Doubtful("because"));
    assert_eq!(apply(&mut catalog, "CREATE TABLE IF NOT EXISTS u (x INT)").changed, []);
    assert_eq!(catalog.table("d", "u"), TableState::Doubtful("because"));
    catalog.put(TableDefinition { table: "u".into(), ..(**known(&after(&["CREATE TABLE t (z INT)"]), "t")).clone() });
    assert_eq!(columns(&catalog, "u"), ["z"]);
    catalog.doubt("d", "u", "again");
    apply(&mut catalog, "DROP TABLE u");
    assert_eq!(catalog.table("d", "u"), TableState::Absent);
}

#[test]
fn tables_are_renamed_one_after_the_other() {
    let catalog = after(&[
        "CREATE TABLE a (in_a INT)",
        "CREATE TABLE b (in_b INT)",
        "RENAME TABLE a TO tmp, b TO a, tmp TO b",
        "CREATE TABLE _a_gho LIKE a",
        "ALTER TABLE _a_gho ADD g INT",
        "RENAME TABLE a TO other._a_del, _a_gho TO a",
    ]);
    assert_eq!(columns(&catalog, "a"), ["in_b", "g"]);
    assert_eq!(columns(&catalog, "b"), ["in_a"]);
    assert!(matches!(catalog.table("other", "_a_del"), TableState::Known(moved) if moved.database == "other"));
    assert_eq!(catalog.tables().count(), 3);
}

#[test]
fn effects_name_what_changed() {
    let mut catalog = after(&["CREATE TABLE t (a INT)"]);
    let mut check = |sql: &str, outcome: Outcome, changed: &[&str]| {
        let effect = apply(&mut catalog, sql);
        let names: Vec<&str> = effect.changed.iter().map(|(_, table)| table.as_str()).collect();
        assert_eq!((effect.outcome, names.as_slice()), (outcome, changed), "{sql}");
    };
    check("ALTER TABLE t FORCE, ADD KEY (a), COMMENT 'x'", Outcome::Harmless, &[]);
    check("TRUNCATE t", Outcome::Harmless, &[]);
    check("CREATE INDEX i ON t (a)", Outcome::Harmless, &[]);
    check("CREATE PROCEDURE p() DROP TABLE t", Outcome::Harmless, &[]);
    check("CREATE VIEW v AS SELECT * FROM t", Outcome::Harmless, &[]);
    check("ALTER TABLE t MODIFY a INT", Outcome::Understood, &[]);
    check("ALTER TABLE t ADD b INT", Outcome::Understood, &["t"]);
    check("CREATE TABLE IF NOT EXISTS t (z INT)", Outcome::Understood, &[]);
    check("CREATE TABLE IF NOT EXISTS v (z INT)", Outcome::Understood, &[]);
    check("RENAME TABLE v TO w", Outcome::Understood, &[]);
    check("RENAME TABLE t TO s", Outcome::Understood, &["s", "t"]);
    check("DROP TABLE IF EXISTS nothing, s", Outcome::Understood, &["s"]);
    check("CREATE TABLE x (a INT)", Outcome::Understood, &["x"]);
    check("DROP DATABASE d", Outcome::Understood, &["x"]);
}

#[test]
fn character_sets_come_from_column_table_database_session() {
    let catalog = after(&[
        "CREATE TABLE t (a CHAR(2), b CHAR(2) CHARACTER SET gbk, c CHAR(2) COLLATE utf8_bin) CHARSET cp1251",
        "CREATE TABLE u (a CHAR(2))",
        "CREATE DATABASE e",
        "CREATE TABLE e.v (a CHAR(2))",
        "ALTER TABLE t CHARACTER SET utf8mb4, ADD d CHAR(2)",
        "ALTER DATABASE CHARACTER SET sjis",
        "CREATE TABLE w (a CHAR(2))",
    ]);
    let charsets = |database: &str, table: &str| -> Vec<String> {
        let TableState::Known(definition) = catalog.table(database, table) else { panic!("{table}") };
        definition
            .schema()
            .columns
            .iter()
            .map(|column| match &column.column_type {
                ColumnType::Text { charset, length } => format!("{charset}/{length}"),
                other => format!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(charsets("d", "t"), ["cp1251/2", "gbk/4", "utf8mb3/6", "utf8mb4/8"]);
    assert_eq!(charsets("d", "u"), ["latin1/2"]);
    assert_eq!(charsets("e", "v"), ["utf8mb4/8"]);
    assert_eq!(charsets("d", "w"), ["sjis/4"]);
}

#[test]
fn converted_text_has_room_for_as_many_characters() {
    let mut catalog =
        after(&["CREATE TABLE t (a TEXT, b TINYTEXT, c VARCHAR(20000), d BLOB, e ENUM('x'), f CHAR(3) BYTE)"]);
    apply(&mut catalog, "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4, ADD g TEXT CHARACTER SET latin1");
    let text = |size| DefinedType::Text { charset: "utf8mb4".into(), size };
    let found: Vec<_> = known(&catalog, "t").columns.iter().map(|column| column.defined_type.clone()).collect();
    assert_eq!(
        found,
        [
            text(LobSize::Medium),
            text(LobSize::Normal),
            text(LobSize::Medium),
            DefinedType::Blob { size: LobSize::Normal },
            DefinedType::Enum { charset: "utf8mb4".into(), labels: ["x".to_owned()].into() },
            DefinedType::Binary { bytes: 3 },
            text(LobSize::Normal),
        ]
    );
}

#[test]
fn labels_in_bytes_of_another_character_set_are_in_doubt() {
    let mut catalog = after(&["CREATE TABLE t (e ENUM('ä'))"]);
    let effect = apply(&mut catalog, "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4");
    assert!(matches!(effect.outcome, Outcome::Dangerous { .. }));
}

#[test]
fn types_and_their_synonyms() {
    use DefinedType as D;
    let integer = |bytes, unsigned| D::Integer { bytes, unsigned };
    let plain = session();
    assert_eq!(
        types("a MIDDLEINT, b INT8 ZEROFILL, c BOOL, d SERIAL", &plain),
        [integer(3, false), integer(8, true), integer(1, false), integer(8, true)]
    );
    assert_eq!(
        types("a FLOAT(24), b FLOAT(25), c FLOAT(7,4), d REAL, e DEC, f FIXED(5,2), g BIT", &plain),
        [
            D::Float,
            D::Double,
            D::Float,
            D::Double,
            D::Decimal { precision: 10, scale: 0 },
            D::Decimal { precision: 5, scale: 2 },
            D::Bit { bits: 1 }
        ]
    );
    let real = Session { sql_mode: SqlMode::REAL_AS_FLOAT, ..session() };
    assert_eq!(types("a REAL, b DOUBLE", &real), [D::Float, D::Double]);
    let oracle = Session { sql_mode: SqlMode::ORACLE, dialect: mariadb(), ..session() };
    assert_eq!(
        types("a DATE, b BLOB, c NUMBER(3), d mariadb_schema.DATE", &oracle),
        [D::DateTime { digits: 0 }, D::Blob { size: LobSize::Long }, D::Decimal { precision: 3, scale: 0 }, D::Date]
    );
    let maxdb = Session { sql_mode: SqlMode::MAXDB, ..session() };
    assert_eq!(types("a TIMESTAMP(3) NULL", &maxdb), [D::DateTime { digits: 3 }]);
    let text = |charset: &str, size| D::Text { charset: charset.into(), size };
    assert_eq!(
        types("a TEXT(255), b TEXT(256), c LONG, d TEXT CHARACTER SET binary, e VARCHAR(70000)", &plain),
        [
            text("latin1", LobSize::Tiny),
            text("latin1", LobSize::Normal),
            text("latin1", LobSize::Medium),
            D::Blob { size: LobSize::Normal },
            text("latin1", LobSize::Medium)
        ]
    );
    assert_eq!(types("j JSON", &plain), [D::Json]);
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    assert_eq!(types("j JSON, u UUID", &in_mariadb), [text("utf8mb4", LobSize::Long), D::Uuid]);
}

#[test]
fn labels_of_every_kind() {
    let labels = |definition: &str| match types(definition, &session()).as_slice() {
        [DefinedType::Enum { labels, .. } | DefinedType::Set { labels, .. }] => labels.to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(labels(r"e ENUM('it''s', ')', ',', 'a\\b', '\%', ' x  ')"), ["it's", ")", ",", r"a\b", r"\%", " x"]);
    assert_eq!(labels("e SET(0x41, x'E4', b'01000010', N'c', _latin1'd')"), ["A", "ä", "B", "c", "d"]);
    assert_eq!(labels("e ENUM(0x41) CHARACTER SET ucs2"), ["A"]);
    assert_eq!(labels("e ENUM('я', 'ä')"), ["?", "ä"]);
    assert_eq!(labels("e ENUM('日', 'ä') CHARACTER SET sjis"), ["日", "?"]);
    assert_eq!(labels("e ENUM('日', '😀') CHARACTER SET utf8"), ["日", "?"]);
    assert_eq!(labels("e ENUM('x ') CHARACTER SET binary"), ["x "]);
}

#[test]
fn versioned_tables_have_hidden_columns() {
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    let mut catalog = after(&[]);
    let mut run = |sql: &str, expected: &[&str]| {
        let effect = apply_in(&mut catalog, sql, &in_mariadb);
        assert!(!matches!(effect.outcome, Outcome::Dangerous { .. }), "{sql}: {effect:?}");
        assert_eq!(columns(&catalog, "t"), expected, "{sql}");
    };
    run("CREATE TABLE t (id INT PRIMARY KEY, a TEXT) WITH SYSTEM VERSIONING", &["id:1", "a", "row_start", "row_end:2"]);
    run("ALTER TABLE t ADD b INT", &["id:1", "a", "b", "row_start", "row_end:2"]);
    run("ALTER TABLE t ADD UNIQUE (a)", &["id:1", "a", "b", "row_start", "row_end:2", "DB_ROW_HASH_1"]);
    run("ALTER TABLE t DROP PRIMARY KEY", &["id", "a", "b", "row_start", "row_end", "DB_ROW_HASH_1"]);
    run("ALTER TABLE t DROP SYSTEM VERSIONING", &["id", "a", "b", "DB_ROW_HASH_1"]);
    run("ALTER TABLE t ADD SYSTEM VERSIONING", &["id", "a", "b", "row_start", "row_end", "DB_ROW_HASH_1"]);
    let effect = apply_in(&mut catalog, "DROP INDEX a ON t", &in_mariadb);
    assert!(matches!(effect.outcome, Outcome::Dangerous { .. }));
}

#[test]
fn names_are_compared_as_the_server_does() {
    for (mode, expected) in [(0, false), (1, true), (2, true)] {
        let mut catalog = Catalog::new(ServerFacts { lower_case_table_names: mode, ..ServerFacts::default() });
        apply(&mut catalog, "CREATE TABLE Mixed (A INT)");
        assert_eq!(matches!(catalog.table("D", "MIXED"), TableState::Known(_)), expected, "{mode}");
        let TableState::Known(definition) = catalog.table("d", "Mixed") else { panic!("{mode}") };
        assert_eq!(definition.table, if mode == 1 { "mixed" } else { "Mixed" });
    }
    let mut catalog = after(&["CREATE TABLE Mixed (A INT)"]);
    catalog.set_server(ServerFacts { lower_case_table_names: 1, ..ServerFacts::default() });
    assert!(matches!(catalog.table("d", "mixed"), TableState::Known(_)));
}

#[test]
fn a_statement_that_failed_did_a_part_of_its_work() {
    let failed = Session { error_code: 1072, dialect: mariadb(), ..session() };
    let mut catalog = after(&["CREATE TABLE t (a INT)"]);
    apply_in(&mut catalog, "CREATE OR REPLACE TABLE t (KEY (b), a INT)", &failed);
    assert_eq!(catalog.table("d", "t"), TableState::Absent);
}

#[test]
fn sequences_are_tables_of_eight_columns() {
    let mut catalog = after(&[]);
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    apply_in(&mut catalog, "CREATE SEQUENCE s AS SMALLINT UNSIGNED START WITH 3", &in_mariadb);
    let definition = known(&catalog, "s");
    assert_eq!((definition.columns.len(), definition.kind), (8, TableKind::Sequence));
    assert_eq!(definition.columns[0].defined_type, DefinedType::Integer { bytes: 2, unsigned: true });
    apply_in(&mut catalog, "DROP SEQUENCE s", &in_mariadb);
    assert_eq!(catalog.table("d", "s"), TableState::Absent);
}

#[test]
fn a_statement_that_is_too_long_leaves_its_table_in_doubt() {
    let mut catalog = after(&["CREATE TABLE t (a INT)", "CREATE TABLE u (a INT)"]);
    let comment = "x".repeat(crate::limits::DDL_PARSED_BYTES_MAX);
    let effect = apply(&mut catalog, &format!("ALTER TABLE t ADD b INT COMMENT '{comment}', ADD c INT"));
    assert!(matches!(effect.outcome, Outcome::Dangerous { .. }));
    assert!(matches!(catalog.table("d", "t"), TableState::Doubtful(_)));
    assert!(matches!(catalog.table("d", "u"), TableState::Known(_)));
}

#[test]
fn a_column_becomes_a_text_where_no_key_can_be_hashed() {
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    let check = |statements: &[&str], is_known: bool| {
        let mut catalog = after(&[]);
        for sql in statements.iter().chain(&["ALTER TABLE t MODIFY a TEXT"]) {
            apply_in(&mut catalog, sql, &in_mariadb);
        }
        let state = catalog.table("d", "t");
        assert_eq!(matches!(state, TableState::Known(_)), is_known, "{statements:?}: {state:?}");
    };
    check(&["CREATE TABLE t (id INT PRIMARY KEY, a INT, KEY (a))"], true);
    check(&["CREATE TABLE t (a INT)", "ALTER TABLE t ADD b INT KEY", "CREATE INDEX i ON t (a)"], true);
    check(&["CREATE TABLE s (a INT)", "CREATE TABLE t LIKE s"], true);
    check(&["CREATE TABLE t (a INT UNIQUE)"], false);
    check(&["CREATE TABLE t (a SERIAL)"], false);
    check(&["CREATE TABLE t (a BIGINT NOT NULL SERIAL DEFAULT VALUE)"], false);
    check(&["CREATE TABLE t (a INT, UNIQUE KEY k (a))"], false);
    check(&["CREATE TABLE t (a INT)", "ALTER TABLE t ADD CONSTRAINT c UNIQUE (a)"], false);
    check(&["CREATE TABLE t (a INT)", "CREATE UNIQUE INDEX i ON t (a)"], false);
    check(&["CREATE TABLE t (b INT)", "ALTER TABLE t ADD a INT UNIQUE"], false);
    check(&["CREATE TABLE t (a INT)", "ALTER TABLE t MODIFY a BIGINT UNIQUE"], false);
}

#[test]
fn a_conditional_clause_makes_a_primary_key_where_there_was_none() {
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    let check = |create: &str, alter: &str, expected: &[&str]| {
        let mut catalog = after(&[]);
        apply_in(&mut catalog, create, &in_mariadb);
        apply_in(&mut catalog, alter, &in_mariadb);
        assert_eq!(columns(&catalog, "t"), expected, "{create}; {alter}");
    };
    let (without, with) = ("CREATE TABLE t (a INT, b INT)", "CREATE TABLE t (a INT, b INT PRIMARY KEY)");
    check(without, "ALTER TABLE t ADD IF NOT EXISTS a INT PRIMARY KEY", &["a:1", "b"]);
    check(with, "ALTER TABLE t ADD IF NOT EXISTS a INT PRIMARY KEY", &["a", "b:1"]);
    check(with, "ALTER TABLE t DROP PRIMARY KEY, ADD IF NOT EXISTS a INT PRIMARY KEY", &["a", "b"]);
    check(with, "ALTER TABLE t DROP PRIMARY KEY, ADD IF NOT EXISTS c INT PRIMARY KEY", &["a", "b", "c"]);
    check(with, "ALTER TABLE t DROP PRIMARY KEY, MODIFY IF EXISTS a INT PRIMARY KEY", &["a", "b"]);
    check(with, "ALTER TABLE t DROP PRIMARY KEY, MODIFY a INT PRIMARY KEY", &["a:1", "b"]);
    check(with, "ALTER TABLE t DROP b, ADD IF NOT EXISTS a INT PRIMARY KEY", &["a"]);
}

#[test]
fn a_hashed_key_that_hangs_on_names_is_in_doubt() {
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    for (alter, certain) in [
        ("ALTER TABLE t ADD IF NOT EXISTS A DATETIME UNIQUE FIRST", None),
        ("ALTER TABLE t ADD IF NOT EXISTS n TEXT UNIQUE", None),
        ("ALTER TABLE t MODIFY IF EXISTS a TEXT UNIQUE", None),
        ("ALTER TABLE t ADD UNIQUE KEY IF NOT EXISTS k (a)", None),
        ("ALTER TABLE t ADD CONSTRAINT IF NOT EXISTS k UNIQUE (a)", None),
        ("CREATE UNIQUE INDEX IF NOT EXISTS k ON t (a)", None),
        ("CREATE OR REPLACE UNIQUE INDEX k ON t (a)", None),
        ("CREATE UNIQUE INDEX k ON t (a)", Some(1)),
        ("ALTER TABLE t ADD IF NOT EXISTS i INT UNIQUE", Some(0)),
        ("CREATE OR REPLACE UNIQUE INDEX k ON t (i)", Some(0)),
    ] {
        let mut catalog = after(&[]);
        apply_in(&mut catalog, "CREATE TABLE t (a TEXT, i INT, KEY a (a(3)))", &in_mariadb);
        let effect = apply_in(&mut catalog, alter, &in_mariadb);
        assert_eq!(matches!(effect.outcome, Outcome::Dangerous { .. }), certain.is_none(), "{alter}: {effect:?}");
        if let Some(hashes) = certain {
            let found = columns(&catalog, "t").iter().filter(|name| name.starts_with("DB_ROW_HASH_")).count();
            assert_eq!(found, hashes, "{alter}");
        }
    }
}

#[test]
fn a_key_that_may_have_become_too_long_is_in_doubt() {
    let in_mariadb = Session { dialect: mariadb(), ..session() };
    for (create, alter, is_dangerous) in [
        ("a VARCHAR(300) UNIQUE", "ENGINE=MyISAM", true),
        ("a VARCHAR(300) UNIQUE", "ENGINE=InnoDB", false),
        ("a VARCHAR(200) UNIQUE", "ENGINE=MyISAM", false),
        ("a VARCHAR(300)", "ENGINE=MyISAM", false),
        ("a TEXT UNIQUE", "ENGINE=InnoDB", true),
        ("a VARCHAR(200) UNIQUE", "MODIFY a VARCHAR(300)", true),
        ("a VARCHAR(300) UNIQUE", "MODIFY a VARCHAR(200)", false),
        ("a VARCHAR(200)", "MODIFY a VARCHAR(300)", false),
        ("a VARCHAR(255) CHARACTER SET latin1 UNIQUE", "CONVERT TO CHARACTER SET utf32", true),
        ("a INT", "ADD b VARCHAR(255) UNIQUE", true),
        ("a INT", "ADD b VARCHAR(240) UNIQUE", false),
    ] {
        let mut catalog = after(&[]);
        apply_in(&mut catalog, &format!("CREATE TABLE t ({create}) CHARACTER SET utf8mb4"), &in_mariadb);
        let effect = apply_in(&mut catalog, &format!("ALTER TABLE t {alter}"), &in_mariadb);
        assert_eq!(matches!(effect.outcome, Outcome::Dangerous { .. }), is_dangerous, "{create}; {alter}: {effect:?}");
    }
}

#[test]
fn the_serialized_form_is_stable() {
    let catalog =
        after(&["CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, n VARCHAR(40), d DATETIME(3), e ENUM('x'))"]);
    let form = r#"{"database":"d","table":"t","charset":"latin1","kind":"table","columns":[
        {"name":"id","type":{"integer":{"bytes":8,"unsigned":true}},"key":1,"hidden":false},
        {"name":"n","type":{"varchar":{"charset":"latin1","characters":40}},"key":0,"hidden":false},
        {"name":"d","type":{"datetime":{"digits":3}},"key":0,"hidden":false},
        {"name":"e","type":{"enum":{"charset":"latin1","labels":["x"]}},"key":0,"hidden":false}]}"#;
    let read: TableDefinition = serde_json::from_str(form).unwrap();
    assert_eq!(read, **known(&catalog, "t"));
    let value: serde_json::Value = serde_json::from_str(form).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), value);
}

#[test]
fn no_statement_makes_it_panic() {
    const WORDS: [&str; 62] = [
        "CREATE",
        "TABLE",
        "ALTER",
        "t",
        "u",
        "(",
        ")",
        ",",
        "a",
        "b",
        "INT",
        "VARCHAR",
        "(3)",
        "ENUM",
        "('x')",
        "0x4",
        "ADD",
        "DROP",
        "COLUMN",
        "CHANGE",
        "MODIFY",
        "RENAME",
        "TO",
        "FIRST",
        "AFTER",
        "PRIMARY",
        "KEY",
        "UNIQUE",
        "CONVERT",
        "CHARACTER",
        "SET",
        "utf8",
        "binary",
        "COLLATE",
        "=",
        "DEFAULT",
        "LIKE",
        "SELECT",
        "IF",
        "NOT",
        "EXISTS",
        "PERIOD",
        "FOR",
        "SYSTEM",
        "VERSIONING",
        "WITH",
        "AS",
        "ROW",
        "START",
        "PARTITION",
        "BY",
        "ORDER",
        "INDEX",
        "ON",
        "DATABASE",
        ";",
        ".",
        "`",
        "'",
        "/*!50000",
        "*/",
        "-1",
    ];
    let mut seed = 7u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize
    };
    let mut catalog = Catalog::new(ServerFacts::default());
    for index in 0..20_000 {
        let beginnings = ["CREATE TABLE t (a INT,", "ALTER TABLE t ", "CREATE TABLE ", "RENAME TABLE ", "DROP ", ""];
        let mut sql = beginnings[next() % beginnings.len()].to_owned();
        for _ in 0..next() % 14 {
            sql.push_str(WORDS[next() % WORDS.len()]);
            sql.push(' ');
        }
        let dialect = if index % 2 == 0 { mariadb() } else { Dialect::default() };
        let session = Session { dialect, ..session() };
        if let Statement::Ddl(ddl) = classify(sql.as_bytes(), &session) {
            let effect = catalog.apply(&ddl, &session);
            for (database, table) in &effect.changed {
                // What is said to be changed has a state that can be asked for.
                let _ = catalog.table(database, table);
            }
        }
    }
}
