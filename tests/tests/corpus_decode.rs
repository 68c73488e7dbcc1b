//! `millstream decode` on the binlogs of real servers gives every value that is known: those that the corpus states, and
//! those that the server's own SELECT gives for random tables and for every character of every character set.

use millstream_tests::compare::{
    Dialect, RANDOM_SESSION, RandomTable, RandomTables, RowLine, SelectedTables, corpus_complaints, rows_of,
};
use millstream_tests::harness::{Flavour, Kind, MysqlServer, Version, load_corpus};
use millstream_tests::load::Random;
use millstream_tests::ways::decode;

/// A private server; `None` where this machine does not have it.
fn server(flavour: Flavour) -> Option<MysqlServer> {
    // without GTIDs where they forbid what old scripts do: a MyISAM write inside a transaction
    let options: &[&str] = match flavour {
        Flavour::Mysql57 | Flavour::Mysql56 => &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"],
        _ => &[],
    };
    MysqlServer::start(flavour, options).unwrap()
}

fn assert_none(complaints: Vec<String>, flavour: Flavour) {
    let count = complaints.len();
    let shown: Vec<_> = complaints.into_iter().take(60).collect();
    assert!(count == 0, "{count} complaints on {flavour}:\n{}", shown.join("\n"));
}

// ---- known answers ---------------------------------------------------------------------------------

fn corpus_on(flavour: Flavour) {
    let Some(server) = server(flavour) else { return };
    let corpus = load_corpus().unwrap();
    for script in &corpus {
        server.run_script(&script.script).unwrap_or_else(|error| panic!("{}: {error:#}", script.name));
    }
    let rows = decode(&server.binlog_files().unwrap()).unwrap();
    let mut complaints = Vec::new();
    for script in &corpus {
        complaints.extend(corpus_complaints(&server, script, &rows).unwrap());
    }
    assert_none(complaints, flavour);
}

#[test]
fn known_answers_come_from_files_of_mysql97() {
    corpus_on(Flavour::Mysql97);
}

#[test]
fn known_answers_come_from_files_of_mariadb118() {
    corpus_on(Flavour::Mariadb118);
}

#[test]
fn known_answers_come_from_files_of_mariadb1011() {
    corpus_on(Flavour::Mariadb1011);
}

#[test]
fn known_answers_come_from_files_of_mariadb105() {
    corpus_on(Flavour::Mariadb105);
}

/// These logs have no column names: they come from the statements in the same files.
#[test]
fn known_answers_come_from_files_of_mysql57() {
    corpus_on(Flavour::Mysql57);
}

#[test]
fn known_answers_come_from_files_of_mysql56() {
    corpus_on(Flavour::Mysql56);
}

/// Where not even the statement that made the table is in the files, columns have numbers; and where another one is
/// known, from a statement that does not fit, it is not believed.
#[test]
fn columns_without_names_have_numbers() {
    let Some(server) = server(Flavour::Mysql57) else { return };
    server
        .sql(
            "CREATE DATABASE numbered; CREATE TABLE numbered.t (a INT, b VARCHAR(9)); CREATE TABLE numbered.u (c INT);
             FLUSH BINARY LOGS; INSERT INTO numbered.t VALUES (1, 'x'); INSERT INTO numbered.u VALUES (2);
             SET sql_log_bin = 0; DROP TABLE numbered.u; SET sql_log_bin = 1; CREATE TABLE numbered.u (d INT);
             SET sql_log_bin = 0; ALTER TABLE numbered.u ADD e INT; SET sql_log_bin = 1;
             INSERT INTO numbered.u VALUES (3, 4)",
        )
        .unwrap();
    let files = server.binlog_files().unwrap();
    let rows = decode(&files[files.len() - 1..]).unwrap();
    let shown: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.table, serde_json::to_string(&row.after).unwrap())).collect();
    assert_eq!(shown, [r#"t {"@1":1,"@2":"x"}"#, r#"u {"@1":2}"#, r#"u {"@1":3,"@2":4}"#]);
}

// ---- what SELECT gives -----------------------------------------------------------------------------

fn random_tables_on(flavour: Flavour) {
    let Some(server) = server(flavour) else { return };
    let mut random = Random::new(Random::seed_of_test(flavour.name()));
    let tables = RandomTables::fill(&server, &mut random, "chance", 24).unwrap();
    let rows = decode(&server.binlog_files().unwrap()).unwrap();
    assert_none(tables.complaints(&server, &rows).unwrap(), flavour);
}

#[test]
fn random_tables_read_as_select_gives_them_on_mysql97() {
    random_tables_on(Flavour::Mysql97);
}

#[test]
fn random_tables_read_as_select_gives_them_on_mariadb118() {
    random_tables_on(Flavour::Mariadb118);
}

#[test]
fn random_tables_read_as_select_gives_them_on_mariadb1011() {
    random_tables_on(Flavour::Mariadb1011);
}

#[test]
fn random_tables_read_as_select_gives_them_on_mariadb105() {
    random_tables_on(Flavour::Mariadb105);
}

/// Columns come, go, move, and change their types and names between rows; then every row is written once more.
fn altered_tables_on(flavour: Flavour) {
    const TABLES: u64 = 8;
    const ALTERS: u64 = 10;
    const FAR: u64 = 1_000_000;
    let Some(server) = server(flavour) else { return };
    let mut random = Random::new(Random::seed_of_test(flavour.name()));
    let dialect = Dialect::of(&server).unwrap();
    let session = server.session().unwrap();
    session.run(&format!("{RANDOM_SESSION}; CREATE DATABASE altered")).unwrap();
    let mut done = 0;
    for number in 0..TABLES {
        let mut table = RandomTable::new(&mut random, &dialect, &format!("t{number}"));
        if session.query(&table.create(&mut random, &dialect, "altered")).is_err() {
            continue;
        }
        for alter in 0..ALTERS {
            let _ = session.query(&table.insert(&mut random, "altered", alter * 3..(alter + 1) * 3));
            let altered = table.alter(&mut random, &dialect, "altered");
            match session.query(&altered.statement) {
                Ok(_) => done += 1,
                Err(_) => altered.undo(),
            }
        }
        // what a column holds from before may be nothing that its type of now may hold
        if session.query(&format!("UPDATE altered.t{number} SET id = id + {FAR}")).is_err() {
            session.query(&format!("DROP TABLE altered.t{number}")).unwrap();
        }
    }
    assert!(done > TABLES, "the server has refused nearly all of it");
    let mut rows = rows_of(&decode(&server.binlog_files().unwrap()).unwrap(), &["altered"]);
    rows.retain(|row| row.op == "update" && row.after.as_ref().is_some_and(|after| after["id"].as_u64() >= Some(FAR)));
    for row in &mut rows {
        let mut before = row.before.take().unwrap();
        before.insert("id".into(), row.after.as_ref().unwrap()["id"].clone());
        assert_eq!(Some(before), row.after, "{}", row.table);
    }
    let selected = SelectedTables::read(&server, &["altered"]).unwrap();
    assert_eq!(rows.len(), selected.row_count());
    assert_none(selected.complaints(&rows).unwrap(), flavour);
}

#[test]
fn altered_tables_read_as_select_gives_them_on_mysql97() {
    altered_tables_on(Flavour::Mysql97);
}

#[test]
fn altered_tables_read_as_select_gives_them_on_mariadb118() {
    altered_tables_on(Flavour::Mariadb118);
}

/// Every character that there is goes into a column of every character set, 256 a row; those that the set has not are
/// stored as question marks. But for U+FFFD itself, which MySQL's big5 writes as a code that elsewhere is a character.
fn charsets_on(flavour: Flavour) {
    let Some(server) = server(flavour) else { return };
    let session = server.session().unwrap();
    session.run("SET NAMES utf8mb4, sql_mode = ''; CREATE DATABASE letters").unwrap();
    // beyond the first plane a few rows will do
    let blocks: Vec<u32> = (0..0x100).chain((0x100..0x110).map(|_| 0)).collect();
    let texts: Vec<String> = blocks
        .iter()
        .enumerate()
        .map(|(index, block)| match index {
            0..0x100 => block * 0x100,
            // 𐀀, 🀀, 𠀀 and further on
            _ => 0x1_0000 + (index as u32 - 0x100) * 0xf100,
        })
        .map(|first| {
            (first..first + 0x100)
                .filter_map(char::from_u32)
                .filter(|c| !matches!(c, '\0' | '\'' | '\\' | '\u{fffd}'))
                .collect()
        })
        .collect();
    for charset in Dialect::of(&server).unwrap().charsets() {
        session
            .query(&format!("CREATE TABLE letters.{charset} (id INT PRIMARY KEY, v TEXT CHARACTER SET {charset})"))
            .unwrap();
        let rows: Vec<String> = texts.iter().enumerate().map(|(id, text)| format!("({id}, '{text}')")).collect();
        session.query(&format!("INSERT IGNORE INTO letters.{charset} VALUES {}", rows.join(","))).unwrap();
    }
    let rows = decode(&server.binlog_files().unwrap()).unwrap();
    let selected = SelectedTables::read(&server, &["letters"]).unwrap();
    assert_none(selected.complaints(&rows_of(&rows, &["letters"])).unwrap(), flavour);
}

#[test]
fn every_character_of_every_set_reads_as_select_gives_it_on_mysql97() {
    charsets_on(Flavour::Mysql97);
}

#[test]
fn every_character_of_every_set_reads_as_select_gives_it_on_mariadb118() {
    charsets_on(Flavour::Mariadb118);
}

/// Columns that the server computes, hides or adds by itself.
fn unusual_columns_on(flavour: Flavour) {
    let Some(server) = server(flavour) else { return };
    let mut sql = String::from(
        "CREATE DATABASE unusual; USE unusual; SET sql_mode = '', time_zone = '+00:00';
         CREATE TABLE computed (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL, s VARCHAR(20) AS (CONCAT('s', a)) STORED, b INT);
         INSERT INTO computed (id, a, b) VALUES (1, 10, 100), (2, NULL, 200);
         CREATE TABLE counted (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, v INT DEFAULT 5, w TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3));
         INSERT INTO counted () VALUES (), ();
         CREATE TABLE second_key (b INT, a INT, v INT, PRIMARY KEY (a, b)); INSERT INTO second_key VALUES (1, 2, 3);
         CREATE TABLE keyless (a INT, b TEXT); INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
         UPDATE keyless SET b = 'y' WHERE a = 1 LIMIT 1; DELETE FROM keyless WHERE a IS NULL;
         CREATE TABLE prefix_key (id VARCHAR(300), v INT, UNIQUE (id(10))); INSERT INTO prefix_key VALUES ('long enough', 1);
         CREATE TABLE parts (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 3;
         INSERT INTO parts VALUES (1, 1), (2, 2), (3, 3); UPDATE parts SET id = id + 10;
         CREATE TABLE 数 (id INT PRIMARY KEY, `列` TEXT); INSERT INTO 数 VALUES (1, '値');\n",
    );
    // From there on the images of an UPDATE or DELETE of MariaDB have no computed columns (11.8.6 had them, 11.8.9 has not).
    sql += match server.kind() == Kind::Mariadb && server.version >= Version(11, 8, 7) {
        true => "DELETE FROM computed WHERE id = 1; INSERT INTO computed (id, a, b) VALUES (1, 11, 100);\n",
        false => "UPDATE computed SET a = 11 WHERE id = 1;\n",
    };
    if server.kind() == Kind::Mysql && server.version >= Version(8, 0, 30) {
        sql += "CREATE TABLE functional (id INT PRIMARY KEY, a VARCHAR(20), b INT, INDEX ((UPPER(a))), INDEX ((b + 1)));
                INSERT INTO functional VALUES (1, 'x', 7), (2, NULL, 8); UPDATE functional SET b = 9 WHERE id = 2;
                CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE, b INT); INSERT INTO hidden (id, a, b) VALUES (1, 2, 3);
                SET sql_generate_invisible_primary_key = ON; CREATE TABLE keyed (a INT); INSERT INTO keyed VALUES (5), (6);
                SET sql_generate_invisible_primary_key = OFF;
                CREATE TABLE multi (id INT PRIMARY KEY, d JSON, INDEX m ((CAST(d->'$.a' AS UNSIGNED ARRAY))), z INT);
                INSERT INTO multi VALUES (1, '{\"a\": [1, 2]}', 3);
                CREATE TABLE instant (id INT PRIMARY KEY, a INT); INSERT INTO instant VALUES (1, 2);
                ALTER TABLE instant ADD COLUMN b INT DEFAULT 9 AFTER id, ALGORITHM = INSTANT; INSERT INTO instant VALUES (2, 3, 4);
                ALTER TABLE instant DROP COLUMN a, ALGORITHM = INSTANT; UPDATE instant SET b = 8 WHERE id = 2;\n";
    }
    if server.kind() == Kind::Mariadb {
        sql += "CREATE TABLE hidden (id INT PRIMARY KEY, a INT INVISIBLE, b INT); INSERT INTO hidden (id, a, b) VALUES (1, 2, 3);
                CREATE TABLE versioned (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING;
                INSERT INTO versioned VALUES (1, 1); UPDATE versioned SET v = 2;
                CREATE SEQUENCE numbers; CREATE TABLE drawn (id INT PRIMARY KEY, v BIGINT DEFAULT NEXT VALUE FOR numbers);
                INSERT INTO drawn (id) VALUES (1), (2);
                CREATE TABLE checked (id INT PRIMARY KEY, j JSON CHECK (JSON_VALID(j))); INSERT INTO checked VALUES (1, '[1,  2]');\n";
    }
    server.sql(&sql).unwrap();
    let rows = rows_of(&decode(&server.binlog_files().unwrap()).unwrap(), &["unusual"]);
    let rows: Vec<RowLine> =
        rows.into_iter().filter(|row| !["instant", "versioned"].contains(&row.table.as_str())).collect();
    let selected = SelectedTables::read(&server, &["unusual"]).unwrap();
    let complaints = selected.complaints(&rows).unwrap();
    assert_none(
        complaints.into_iter().filter(|c| !c.contains(".instant") && !c.contains(".versioned")).collect(),
        flavour,
    );
}

#[test]
fn columns_that_the_server_computes_or_hides_read_as_select_gives_them_on_mysql97() {
    unusual_columns_on(Flavour::Mysql97);
}

#[test]
fn columns_that_the_server_computes_or_hides_read_as_select_gives_them_on_mariadb118() {
    unusual_columns_on(Flavour::Mariadb118);
}
