-- What an image carries: fewer columns (MINIMAL, NOBLOB), JSON as a difference, compressed logs, unusual names.
-- A column that the image does not carry is absent from the expected row, not null.
-- Known answers: images.expected.jsonl
DROP DATABASE IF EXISTS ms_images;
CREATE DATABASE ms_images DEFAULT CHARACTER SET utf8mb4;
USE ms_images;
SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '';
CREATE TABLE goods (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL, price DECIMAL(8,2), body TEXT) ENGINE=InnoDB;

-- MINIMAL: the key before, the changed columns after
SET SESSION binlog_row_image = 'MINIMAL';
INSERT INTO goods VALUES (1, 'lamp', 12.50, 'bright');
INSERT INTO goods (id, name) VALUES (2, 'rope');
UPDATE goods SET price = 11.00 WHERE id = 1;
UPDATE goods SET body = NULL, name = 'lantern' WHERE id = 1;
UPDATE goods SET id = 3 WHERE id = 2;
DELETE FROM goods WHERE id = 3;
SET SESSION binlog_row_image = 'FULL';

-- MINIMAL without a key: the whole row before
CREATE TABLE keyless (a INT, b VARCHAR(10)) ENGINE=InnoDB;
SET SESSION binlog_row_image = 'MINIMAL';
INSERT INTO keyless VALUES (1, 'x');
UPDATE keyless SET b = 'y';
DELETE FROM keyless;
SET SESSION binlog_row_image = 'FULL';

-- NOBLOB: a text that did not change is left out
SET SESSION binlog_row_image = 'NOBLOB';
INSERT INTO goods VALUES (4, 'axe', 30, 'sharp');
UPDATE goods SET price = 31 WHERE id = 4;
UPDATE goods SET body = 'blunt' WHERE id = 4;
DELETE FROM goods WHERE id = 4;
SET SESSION binlog_row_image = 'FULL';

-- JSON updates logged as differences, delivered as documents
-- @if mysql>=8.0.3
CREATE TABLE papers (id INT NOT NULL PRIMARY KEY, doc JSON, extra JSON, n INT) ENGINE=InnoDB;
SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
INSERT INTO papers VALUES (1, '{"title": "a long enough title to make a difference worth it", "tags": ["x", "y"], "size": {"w": 1, "h": 2}}', '[1, 2, 3]', 0);
UPDATE papers SET doc = JSON_SET(doc, '$.size.w', 10) WHERE id = 1;
UPDATE papers SET doc = JSON_REMOVE(doc, '$.tags[0]'), n = 1 WHERE id = 1;
UPDATE papers SET doc = JSON_SET(doc, '$.tags[1]', 'z', '$.new', NULL), extra = JSON_ARRAY_INSERT(extra, '$[0]', 0) WHERE id = 1;
UPDATE papers SET doc = JSON_REPLACE(doc, '$.title', 'short'), extra = JSON_REPLACE(extra, '$[3]', '33') WHERE id = 1;
UPDATE papers SET doc = '{"whole": true}' WHERE id = 1;
UPDATE papers SET doc = NULL WHERE id = 1;
SET SESSION binlog_row_value_options = '';
-- @endif

-- a compressed transaction, and rows of two tables in it
-- @if mysql>=8.0.20
SET SESSION binlog_transaction_compression = ON;
BEGIN;
INSERT INTO goods VALUES (5, 'bell', 5, REPEAT('ding ', 200));
INSERT INTO keyless VALUES (5, 'five');
UPDATE goods SET price = 6 WHERE id = 5;
COMMIT;
SET SESSION binlog_transaction_compression = OFF;
-- @endif

-- compressed row events
-- @if mariadb>=10.2.3
SET @kept = @@GLOBAL.log_bin_compress;
SET GLOBAL log_bin_compress = ON;
-- @session 1
USE ms_images;
BEGIN;
INSERT INTO goods VALUES (6, 'gong', 5, REPEAT('dong ', 200));
UPDATE goods SET price = 6 WHERE id = 6;
DELETE FROM goods WHERE id = 6;
COMMIT;
-- @session 0
SET GLOBAL log_bin_compress = @kept;
-- @endif

-- FULL_NODUP: the after image has only what changed
-- @if mariadb>=11.4
SET SESSION binlog_row_image = 'FULL_NODUP';
INSERT INTO goods VALUES (7, 'drum', 1, NULL);
UPDATE goods SET price = 2 WHERE id = 7;
SET SESSION binlog_row_image = 'FULL';
-- @endif

-- names with blanks, quotes, keywords and letters of other alphabets
CREATE TABLE `order lines` (`id` INT NOT NULL PRIMARY KEY, `größe in €` INT, `select` VARCHAR(5), `it's` INT, `Ж_1` INT, `a.b` INT) ENGINE=InnoDB;
INSERT INTO `order lines` VALUES (1, 2, 'three', 4, 5, 6);
UPDATE `order lines` SET `größe in €` = 20, `a.b` = NULL;

-- columns come and go between rows
CREATE TABLE moving (id INT NOT NULL PRIMARY KEY, a INT) ENGINE=InnoDB;
INSERT INTO moving VALUES (1, 1);
ALTER TABLE moving ADD COLUMN b VARCHAR(10) DEFAULT 'dflt' FIRST;
INSERT INTO moving (id, a) VALUES (2, 2);
ALTER TABLE moving DROP COLUMN a, ADD COLUMN c DATE;
INSERT INTO moving VALUES ('bee', 3, '2024-05-06');
ALTER TABLE moving CHANGE COLUMN c d DATETIME;
UPDATE moving SET b = 'end' WHERE id = 3;
