//! ALTER TABLE: every clause that changes columns, keys, names or character sets; the others are known to be skipped.

use super::parser::{Parsed, Parser};
use super::tree::{AlterClause, AlterTable, Change, ColumnSpec, Place, TableOptions, Unknown};

impl Parser<'_, '_> {
    /// Behind ALTER TABLE.
    pub fn alter_table(&mut self) -> Change {
        let if_exists = self.if_exists();
        let table = match self.table_name() {
            Ok(table) => table,
            Err(reason) => {
                let (tables, others, carries_rows) = (Vec::new(), true, false);
                return Change::Unknown(Unknown { kind: "alter_table", tables, others, carries_rows, reason });
            }
        };
        self.wait();
        let mut clauses = Vec::new();
        while !self.at_end() {
            let before = self.tokens.clone();
            if let Err(reason) = self.alter_clause(&mut clauses) {
                clauses.push(AlterClause::Unknown(reason));
                // Names of other tables may stand behind it.
                *self.tokens = before;
                self.tokens.next();
                if self.skip_part().is_err() {
                    break;
                }
                self.punctuation(')');
            }
            self.punctuation(',');
        }
        Change::AlterTable(AlterTable { table, if_exists, clauses })
    }

    /// MariaDB: WAIT n, NOWAIT.
    pub fn wait(&mut self) {
        if self.word("WAIT") {
            self.tokens.next();
        } else {
            self.word("NOWAIT");
        }
    }

    fn alter_clause(&mut self, clauses: &mut Vec<AlterClause>) -> Parsed<()> {
        let clause = match () {
            () if self.word("ADD") => return self.add(clauses),
            () if self.word("DROP") => self.drop_clause()?,
            () if self.word("CHANGE") => {
                self.word("COLUMN");
                let if_exists = self.if_exists();
                let from = self.name("a column's name")?;
                let (column, place) = self.column()?;
                AlterClause::ChangeColumn { from, if_exists, column, place }
            }
            () if self.word("MODIFY") => {
                self.word("COLUMN");
                let if_exists = self.if_exists();
                let (column, place) = self.column()?;
                AlterClause::ChangeColumn { from: column.name.clone(), if_exists, column, place }
            }
            () if self.word("RENAME") => self.rename_clause()?,
            () if self.word("CONVERT") => self.convert()?,
            () if self.words(&["EXCHANGE", "PARTITION"]) => {
                self.name("a partition's name")?;
                self.need("WITH")?;
                self.need("TABLE")?;
                let other = self.table_name()?;
                self.any_word(&["WITH", "WITHOUT"]);
                self.word("VALIDATION");
                AlterClause::ExchangePartition(other)
            }
            () if self.words(&["ORDER", "BY"]) => self.order_by()?,
            () if self.words(&["PARTITION", "BY"])
                || self.words(&["REORGANIZE", "PARTITION"])
                || self.any_partition_operation() =>
            {
                // Nothing may stand behind them.
                self.skip_all();
                AlterClause::Harmless
            }
            () if self.words(&["REMOVE", "PARTITIONING"])
                || self.words(&["UPGRADE", "PARTITIONING"])
                || self.words(&["DISABLE", "KEYS"])
                || self.words(&["ENABLE", "KEYS"])
                || self.words(&["DISCARD", "TABLESPACE"])
                || self.words(&["IMPORT", "TABLESPACE"])
                || self.words(&["WITH", "VALIDATION"])
                || self.words(&["WITHOUT", "VALIDATION"])
                || self.any_word(&["FORCE", "NOWAIT", "SECONDARY_LOAD", "SECONDARY_UNLOAD"]) =>
            {
                AlterClause::Harmless
            }
            () if self.any_word(&["ALGORITHM", "LOCK"]) => {
                self.punctuation('=');
                self.name("a way to alter")?;
                AlterClause::Harmless
            }
            () if self.word("ALTER") => self.alter_in_place()?,
            () => {
                let mut options = TableOptions::default();
                if !self.table_option(&mut options)? {
                    return Err(self.unexpected("a clause of ALTER TABLE"));
                }
                match options {
                    _ if options.charset.is_given() => AlterClause::DefaultCharset(options.charset),
                    _ if options.system_versioning => AlterClause::AddSystemVersioning,
                    TableOptions { engine: Some(engine), .. } if self.session.dialect.is_mariadb => {
                        AlterClause::Engine(engine)
                    }
                    _ => AlterClause::Harmless,
                }
            }
        };
        clauses.push(clause);
        Ok(())
    }

    /// Behind ALTER TABLE ... ALTER: defaults and visibility of columns, indexes and checks.
    fn alter_in_place(&mut self) -> Parsed<AlterClause> {
        self.any_word(&["COLUMN", "INDEX", "KEY", "CHECK", "CONSTRAINT"]);
        self.if_exists();
        self.column_name()?;
        if self.word("SET") {
            if !self.any_word(&["DEFAULT", "VISIBLE", "INVISIBLE"]) {
                return Err(self.unexpected("DEFAULT"));
            }
            self.skip_part()?;
        } else if !self.words(&["DROP", "DEFAULT"]) {
            self.word("NOT");
            if !self.any_word(&["VISIBLE", "INVISIBLE", "IGNORED", "ENFORCED"]) {
                return Err(self.unexpected("SET or DROP DEFAULT"));
            }
        }
        Ok(AlterClause::Harmless)
    }

    fn any_partition_operation(&mut self) -> bool {
        const OPERATIONS: [&str; 10] = [
            "ANALYZE",
            "CHECK",
            "COALESCE",
            "DISCARD",
            "IMPORT",
            "OPTIMIZE",
            "REBUILD",
            "REPAIR",
            "TRUNCATE",
            "REORGANIZE",
        ];
        OPERATIONS.iter().any(|operation| self.words(&[operation, "PARTITION"]))
    }

    fn add(&mut self, clauses: &mut Vec<AlterClause>) -> Parsed<()> {
        if self.word("PARTITION") {
            self.skip_all();
            clauses.push(AlterClause::Harmless);
            return Ok(());
        }
        if self.words(&["SYSTEM", "VERSIONING"]) {
            clauses.push(AlterClause::AddSystemVersioning);
            return Ok(());
        }
        if let Some(period) = self.period()? {
            clauses.push(AlterClause::AddPeriod(period));
            return Ok(());
        }
        let mut if_not_exists = false;
        if self.word("CONSTRAINT") {
            if_not_exists = self.at_words(&["IF", "NOT", "EXISTS"]);
            self.constraint_name()?;
        }
        if self.words(&["PRIMARY", "KEY"]) {
            if_not_exists |= self.at_words(&["IF", "NOT", "EXISTS"]);
            clauses.push(AlterClause::AddPrimaryKey { parts: self.primary_key()?, if_not_exists });
            return Ok(());
        }
        if self.session.dialect.is_mariadb && self.word("UNIQUE") {
            let mut key = self.unique_key()?;
            key.hangs_on_names |= if_not_exists;
            clauses.push(AlterClause::AddUnique(key));
            return Ok(());
        }
        if self.at_other_key() {
            self.skip_part()?;
            clauses.push(AlterClause::Harmless);
            return Ok(());
        }
        self.word("COLUMN");
        let if_not_exists = self.if_not_exists();
        let added = |column: ColumnSpec, place| AlterClause::AddColumn { column, if_not_exists, place };
        if !self.punctuation('(') {
            let (column, place) = self.column()?;
            clauses.push(added(column, place));
            return Ok(());
        }
        let elements = self.elements()?;
        self.need_punctuation(')')?;
        clauses.extend(elements.columns.into_iter().map(|column| added(column, Place::Unsaid)));
        clauses.extend(elements.unique_keys.into_iter().map(AlterClause::AddUnique));
        clauses.extend(elements.periods.into_iter().map(AlterClause::AddPeriod));
        clauses.extend(elements.primary_key.map(|parts| AlterClause::AddPrimaryKey { parts, if_not_exists: false }));
        Ok(())
    }

    fn drop_clause(&mut self) -> Parsed<AlterClause> {
        if self.words(&["PRIMARY", "KEY"]) {
            return Ok(AlterClause::DropPrimaryKey { if_exists: false });
        }
        if self.any_word(&["INDEX", "KEY"]) || self.word("CONSTRAINT") {
            let if_exists = self.if_exists();
            let is_primary = self.name("a key's name")?.eq_ignore_ascii_case("PRIMARY");
            return Ok(if is_primary { AlterClause::DropPrimaryKey { if_exists } } else { AlterClause::DropKey });
        }
        if self.words(&["FOREIGN", "KEY"]) || self.word("CHECK") || self.words(&["PERIOD", "FOR"]) {
            self.if_exists();
            self.name("a name")?;
            return Ok(AlterClause::Harmless);
        }
        if self.word("PARTITION") {
            self.skip_all();
            return Ok(AlterClause::Harmless);
        }
        if self.words(&["SYSTEM", "VERSIONING"]) {
            return Ok(AlterClause::DropSystemVersioning);
        }
        self.word("COLUMN");
        let if_exists = self.if_exists();
        let name = self.column_name()?;
        self.any_word(&["RESTRICT", "CASCADE"]);
        Ok(AlterClause::DropColumn { name, if_exists })
    }

    fn rename_clause(&mut self) -> Parsed<AlterClause> {
        if self.word("COLUMN") {
            let if_exists = self.if_exists();
            let from = self.column_name()?;
            self.need("TO")?;
            return Ok(AlterClause::RenameColumn { from, to: self.column_name()?, if_exists });
        }
        if self.any_word(&["INDEX", "KEY"]) {
            self.skip_part()?;
            return Ok(AlterClause::Harmless);
        }
        let _ = self.any_word(&["TO", "AS"]) || self.punctuation('=');
        Ok(AlterClause::RenameTo(self.table_name()?))
    }

    fn convert(&mut self) -> Parsed<AlterClause> {
        if self.word("TABLE") {
            let other = self.table_name()?;
            self.skip_all();
            return Ok(AlterClause::ConvertTable(other));
        }
        if self.word("PARTITION") {
            self.name("a partition's name")?;
            self.need("TO")?;
            self.need("TABLE")?;
            let other = self.table_name()?;
            self.skip_all();
            return Ok(AlterClause::ConvertPartition(other));
        }
        self.need("TO")?;
        let mut charset = Default::default();
        while self.charset_clause(&mut charset)? {}
        if charset.is_given() {
            Ok(AlterClause::ConvertCharset(charset))
        } else {
            Err(self.unexpected("CHARACTER SET"))
        }
    }

    /// `ORDER BY a, b DESC`: a comma may also end it.
    fn order_by(&mut self) -> Parsed<AlterClause> {
        self.column_name()?;
        self.any_word(&["ASC", "DESC"]);
        loop {
            let before = self.tokens.clone();
            let is_part = self.punctuation(',') && self.column_name().is_ok() && {
                self.any_word(&["ASC", "DESC"]);
                self.at_end() || self.at_punctuation(',')
            };
            // FORCE alone is a clause, and reserved.
            if !is_part || before.clone().nth(1).is_some_and(|token| token.is("FORCE")) {
                *self.tokens = before;
                return Ok(AlterClause::Harmless);
            }
        }
    }
}
