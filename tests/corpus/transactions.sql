-- What commits, what does not, and in which order: the rows that a subscriber must see.
-- Known answers: transactions.expected.jsonl
DROP DATABASE IF EXISTS ms_transactions;
CREATE DATABASE ms_transactions DEFAULT CHARACTER SET utf8mb4;
USE ms_transactions;
SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '';
CREATE TABLE ledger (id INT NOT NULL PRIMARY KEY, owner VARCHAR(20), cents BIGINT) ENGINE=InnoDB;
CREATE TABLE journal (id INT NOT NULL PRIMARY KEY, note VARCHAR(40)) ENGINE=MyISAM;
CREATE TABLE loose (a INT, b VARCHAR(10)) ENGINE=InnoDB;
CREATE TABLE unlogged (id INT NOT NULL PRIMARY KEY, v INT) ENGINE=InnoDB;

-- one statement, three rows: one transaction
INSERT INTO ledger VALUES (1, 'ann', 1000), (2, 'bob', 0), (3, 'cyd', NULL);

-- a transfer: two updates and an insert belong together
START TRANSACTION;
UPDATE ledger SET cents = cents - 300 WHERE id = 1;
UPDATE ledger SET cents = cents + 300 WHERE id = 2;
INSERT INTO loose VALUES (300, 'transfer');
COMMIT;

-- rolled back: nothing is logged
BEGIN;
DELETE FROM ledger;
ROLLBACK;

-- an update that changes nothing is no change
UPDATE ledger SET owner = 'ann' WHERE id = 1;
UPDATE ledger SET cents = 1 WHERE id = 99;

-- savepoints: what was undone is gone, a released one stays
BEGIN;
INSERT INTO ledger VALUES (10, 'kept', 1);
SAVEPOINT outer_one;
INSERT INTO ledger VALUES (11, 'undone', 1);
SAVEPOINT inner_one;
DELETE FROM ledger WHERE id = 10;
ROLLBACK TO SAVEPOINT outer_one;
SAVEPOINT second;
INSERT INTO ledger VALUES (12, 'released', 2);
RELEASE SAVEPOINT second;
COMMIT;

-- a refused statement leaves no row, its transaction goes on
BEGIN;
INSERT INTO ledger VALUES (13, 'before', 3);
-- @may-fail
INSERT INTO ledger VALUES (14, 'refused', 3), (13, 'again', 3);
UPDATE ledger SET cents = 4 WHERE id = 13;
COMMIT;

-- a new primary key is an update, with the old key in the before image
UPDATE ledger SET id = 30 WHERE id = 3;

-- ON DUPLICATE KEY UPDATE inserts one row and updates another
INSERT INTO ledger VALUES (20, 'new', 5), (1, 'dup', 5) ON DUPLICATE KEY UPDATE cents = -1;

-- REPLACE of a row with one unique key is logged as an update
REPLACE INTO ledger VALUES (20, 'replaced', 6), (21, 'fresh', 6);

-- without a primary key, equal rows are changed one by one
INSERT INTO loose VALUES (7, 'twin'), (7, 'twin'), (NULL, NULL);
UPDATE loose SET b = 'changed' WHERE a = 7;
DELETE FROM loose WHERE a IS NULL;

-- MyISAM: every statement is a transaction; one that fails half-way keeps its first row
INSERT INTO journal VALUES (1, 'one'), (2, 'two');
-- @may-fail
INSERT INTO journal VALUES (3, 'kept'), (1, 'refused'), (4, 'never tried');

-- MyISAM in a transaction that is rolled back: its row stays and is logged
-- @if mariadb
BEGIN;
INSERT INTO ledger VALUES (15, 'undone', 0);
INSERT INTO journal VALUES (5, 'cannot be undone');
ROLLBACK;
-- @endif

-- a trigger writes into another table, in the same transaction
CREATE TABLE shadow (id INT NOT NULL PRIMARY KEY, owner VARCHAR(20)) ENGINE=InnoDB;
CREATE TRIGGER copy_owner AFTER INSERT ON ledger FOR EACH ROW INSERT INTO shadow VALUES (NEW.id, NEW.owner);
INSERT INTO ledger VALUES (40, 'seen', 1);
DROP TRIGGER copy_owner;

-- TRUNCATE is DDL; temporary tables are not logged, what is copied out of them is
TRUNCATE TABLE unlogged;
CREATE TEMPORARY TABLE scratch (id INT, owner VARCHAR(20));
INSERT INTO scratch VALUES (50, 'copied'), (51, 'copied');
INSERT INTO ledger SELECT id, owner, 0 FROM scratch ORDER BY id;
DROP TEMPORARY TABLE scratch;

-- a table made by a SELECT: its rows come with it
-- @if mysql>=8.0.21|mariadb
CREATE TABLE born (PRIMARY KEY (id)) SELECT id, cents FROM ledger WHERE id IN (10, 12) ORDER BY id;
-- @endif

-- autocommit off: a DDL commits what is open
SET autocommit = 0;
INSERT INTO ledger VALUES (60, 'implicit', 1);
CREATE TABLE side (id INT);
INSERT INTO ledger VALUES (61, 'never', 1);
ROLLBACK;
SET autocommit = 1;

-- order is that of the commits, not of the statements
-- @session 1
USE ms_transactions;
BEGIN;
INSERT INTO ledger VALUES (70, 'first written', 1);
-- @session 2
USE ms_transactions;
BEGIN;
INSERT INTO ledger VALUES (71, 'first committed', 1);
COMMIT;
-- @session 1
UPDATE ledger SET cents = 2 WHERE id = 71;
COMMIT;
-- @session 0

-- a connection that ends takes its open transaction with it; a log that rotates meanwhile changes nothing
BEGIN;
INSERT INTO ledger VALUES (72, 'over two files', 1);
-- @session 3
FLUSH BINARY LOGS;
INSERT INTO ms_transactions.ledger VALUES (73, 'new file', 1);
-- @session 0
COMMIT;

-- not in the log at all, or only as a statement: no row is seen
SET SESSION sql_log_bin = 0;
INSERT INTO unlogged VALUES (1, 1);
SET SESSION sql_log_bin = 1;
SET SESSION binlog_format = 'STATEMENT';
INSERT INTO unlogged VALUES (2, 2);
SET SESSION binlog_format = 'ROW';

-- XA in one phase is an ordinary transaction
XA START 'single';
INSERT INTO ledger VALUES (80, 'xa single', 1);
XA END 'single';
XA COMMIT 'single' ONE PHASE;

-- XA in two phases, one decided at once, one while others commit, one undone
-- @if mysql>=5.7.7|mariadb>=10.5
XA START 'quick', 'branch', 3;
INSERT INTO ledger VALUES (81, 'xa quick', 1);
UPDATE ledger SET cents = 9 WHERE id = 80;
XA END 'quick', 'branch', 3;
XA PREPARE 'quick', 'branch', 3;
XA COMMIT 'quick', 'branch', 3;
-- @session 4
USE ms_transactions;
XA START 'slow';
INSERT INTO ledger VALUES (82, 'xa slow', 1);
XA END 'slow';
XA PREPARE 'slow';
-- @session 5
USE ms_transactions;
XA START 'undone';
INSERT INTO ledger VALUES (83, 'xa undone', 1);
XA END 'undone';
XA PREPARE 'undone';
-- @session 0
INSERT INTO ledger VALUES (84, 'between', 1);
-- @session 4
XA COMMIT 'slow';
-- @session 5
XA ROLLBACK 'undone';
-- @session 0
INSERT INTO ledger VALUES (85, 'after', 1);
-- @endif

-- a GTID with a tag
-- @if mysql>=8.3
SET gtid_next = 'AUTOMATIC:nightly';
INSERT INTO ledger VALUES (90, 'tagged', 1);
SET gtid_next = 'AUTOMATIC';
-- @endif

-- GTIDs of other domains
-- @if mariadb
SET SESSION gtid_domain_id = 7;
INSERT INTO ledger VALUES (91, 'domain seven', 1);
SET SESSION gtid_domain_id = 0;
INSERT INTO ledger VALUES (92, 'domain zero', 1);
-- @endif

-- a cascade over a foreign key: seen from the server that does it above the storage engine
-- @if mysql>=9.6
CREATE TABLE parent (id INT NOT NULL PRIMARY KEY);
CREATE TABLE child (id INT NOT NULL PRIMARY KEY, parent_id INT, FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (5, 1);
DELETE FROM parent WHERE id = 1;
-- @endif

-- one statement over several row events (8 KiB each)
CREATE TABLE filler (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, pad CHAR(120) CHARACTER SET latin1);
-- @delim //
CREATE PROCEDURE fill(wanted INT)
BEGIN
  DECLARE done INT DEFAULT 0;
  START TRANSACTION;
  WHILE done < wanted DO INSERT INTO filler (pad) VALUES (REPEAT('p', 120)); SET done = done + 1; END WHILE;
  COMMIT;
END//
-- @delim ;
CALL fill(150);
UPDATE filler SET pad = 'q' ORDER BY id;
DELETE FROM filler ORDER BY id;
