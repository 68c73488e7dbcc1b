-- Runs on every server, first. Each table once, so that its TABLE_MAP can be held against information_schema.
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;
-- signed and unsigned in turn, YEAR and BIT between them: which of them SIGNEDNESS counts
CREATE TABLE numbers (
  a TINYINT UNSIGNED, y1 YEAR, b TINYINT, c SMALLINT UNSIGNED, bits BIT(13), d SMALLINT, e MEDIUMINT UNSIGNED,
  f MEDIUMINT, dec1 DECIMAL(10,2) UNSIGNED, dec2 DECIMAL(65,30), g INT UNSIGNED, y2 YEAR, h INT, fl1 FLOAT UNSIGNED,
  fl2 FLOAT, db1 DOUBLE UNSIGNED, db2 DOUBLE, i BIGINT UNSIGNED, j BIGINT NOT NULL, bit64 BIT(64), k TINYINT(1) UNSIGNED,
  PRIMARY KEY (j));
INSERT INTO numbers VALUES (200, 2024, -1, 65535, 5, -2, 16777215, -3, 1.25, -1.5, 4294967295, 1999, -4, 1.5, -1.5, 2.5, -2.5,
  18446744073709551615, -5, 18446744073709551615, 255), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL, NULL);
CREATE TABLE texts (
  id INT NOT NULL, c CHAR(10) CHARACTER SET latin1, big CHAR(255) CHARACTER SET utf8mb4, bin BINARY(16), vb VARBINARY(300),
  v VARCHAR(300) CHARACTER SET cp1251, t1 TINYTEXT, t2 TEXT CHARACTER SET latin2, t3 MEDIUMTEXT, t4 LONGTEXT CHARACTER SET ascii,
  b1 TINYBLOB, b2 BLOB, b3 MEDIUMBLOB, b4 LONGBLOB, g GEOMETRY, p POINT,
  e1 ENUM('small','größer') CHARACTER SET latin1, s1 SET('a','ö','c'), e2 ENUM('x','я') CHARACTER SET cp1251,
  s2 SET('1','2','3','4','5','6','7','8','9') CHARACTER SET ascii, v2 VARCHAR(20) CHARACTER SET utf8mb4, c2 CHAR(1) CHARACTER SET binary,
  PRIMARY KEY (v(10), id)) CHARACTER SET utf8mb4;
INSERT INTO texts (id, c, v, e1, s1, e2, s2, bin) VALUES (1, 'ä', 'я', 'größer', 'a,ö', 'я', '1,9', 'abc');
CREATE TABLE times (d DATE, t TIME, t6 TIME(6), dt DATETIME, dt3 DATETIME(3), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, y YEAR);
INSERT INTO times VALUES ('2024-02-29', '-01:02:03', '-01:02:03.000004', '2024-02-29 01:02:03', '2024-02-29 01:02:03.004',
  '2024-02-29 01:02:03', '2024-02-29 01:02:03.000004', 2024);
CREATE TABLE orders (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(64) NOT NULL, note TEXT);
START TRANSACTION; INSERT INTO orders (name) VALUES ('one'), ('two'); UPDATE orders SET note = 'seen'; SAVEPOINT s;
DELETE FROM orders WHERE id = 1; ROLLBACK TO SAVEPOINT s; DELETE FROM orders WHERE id = 2; COMMIT;
SET SESSION binlog_row_image = 'MINIMAL'; UPDATE orders SET name = 'uno'; SET SESSION binlog_row_image = 'FULL';
CREATE TABLE engine (id INT, PRIMARY KEY (id)) ENGINE = MyISAM; INSERT INTO engine VALUES (1);
SET SESSION binlog_format = 'STATEMENT'; INSERT INTO orders (name) VALUES ('as a statement'); SET SESSION binlog_format = 'ROW';
XA START 'abc', 'def', 7; INSERT INTO orders (name) VALUES ('xa'); XA END 'abc', 'def', 7; XA PREPARE 'abc', 'def', 7;
XA COMMIT 'abc', 'def', 7;
XA START 'one'; INSERT INTO orders (name) VALUES ('xa one'); XA END 'one'; XA COMMIT 'one' ONE PHASE;
