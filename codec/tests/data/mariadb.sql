CREATE TABLE packed (id INT UNSIGNED PRIMARY KEY, v VARCHAR(200) COMPRESSED, t TEXT COMPRESSED, vb VARBINARY(100) COMPRESSED,
  last VARCHAR(7) CHARACTER SET latin1);
INSERT INTO packed VALUES (1, REPEAT('v', 150), REPEAT('t', 500), 'x', 'y');
CREATE TABLE network (id BIGINT UNSIGNED PRIMARY KEY, i6 INET6, name VARCHAR(9), doc JSON);
INSERT INTO network VALUES (1, '::1', 'localhost', '{"a": 1}');
SET GLOBAL log_bin_compress = ON; SET GLOBAL log_bin_compress_min_len = 10;
INSERT INTO orders (name, note) VALUES ('packed', REPEAT('0123456789', 300));
UPDATE orders SET note = REPEAT('9876543210', 300); DELETE FROM orders WHERE name = 'two';
ALTER TABLE orders COMMENT 'a comment that is long enough to be compressed, compressed, compressed';
SET GLOBAL log_bin_compress = OFF;
SET SESSION gtid_domain_id = 5; INSERT INTO orders (name) VALUES ('another domain'); SET SESSION gtid_domain_id = 0;
