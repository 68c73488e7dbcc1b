USE v;
CREATE TABLE packed (id INT PRIMARY KEY, v VARCHAR(200) COMPRESSED, t TEXT COMPRESSED CHARACTER SET latin1, m MEDIUMTEXT COMPRESSED, vb VARBINARY(200) COMPRESSED, b BLOB COMPRESSED, l LONGBLOB COMPRESSED);
INSERT INTO packed VALUES (1, '', '', '', '', '', ''), (2, 'short', 'é', 'short', x'00', x'FF', x'0102'), (3, REPEAT('v', 200), REPEAT('é', 500), REPEAT('abcdefghij', 10000), REPEAT(x'00', 200), REPEAT(x'AB', 300), REPEAT('0123456789', 30000)),
  (4, NULL, NULL, NULL, NULL, NULL, NULL);
SET SESSION column_compression_zlib_wrap = 1;
INSERT INTO packed VALUES (5, REPEAT('w', 200), REPEAT('ü', 500), REPEAT('wrapped', 10000), REPEAT(x'01', 200), REPEAT(x'CD', 300), REPEAT('0123456789', 20000));
CREATE TABLE network (id INT PRIMARY KEY, i6 INET6, doc JSON);
INSERT INTO network VALUES (1, '::', '{"b": 1,  "a":[1]}'), (2, '2001:db8::1', NULL), (3, '::ffff:1.2.3.4', '"x"'), (4, '::1.2.3.4', 'null'), (5, '1:0:0:2:0:0:0:3', '1'), (6, 'fe80::1:0:0:1', '[]'), (7, '0:0:1::', '{}'),
  (8, '1:0:2:3:4:5:6:7', '1'), (9, '1:2:3:4:5:6:7:0', '1'), (10, '0:2:3:4:5:6:7:8', '1'), (11, '::1', '1'), (12, NULL, NULL), (13, 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '1');
SET @old = @@GLOBAL.mysql56_temporal_format; SET GLOBAL mysql56_temporal_format = OFF;
CREATE TABLE old_times (id INT PRIMARY KEY, t TIME, d DATETIME, s TIMESTAMP NULL);
INSERT INTO old_times VALUES (1, '00:00:00', '0000-00-00 00:00:00', 0), (2, '-00:00:01', '1000-01-01 00:00:00', '1970-01-01 00:00:01'), (3, '838:59:59', '9999-12-31 23:59:59', '2038-01-19 03:14:07'),
  (4, '-838:59:59', '2024-02-31 12:34:56', '2024-02-29 12:34:56'), (5, NULL, NULL, NULL);
SET GLOBAL mysql56_temporal_format = @old;
SET GLOBAL log_bin_compress = ON; SET GLOBAL log_bin_compress_min_len = 10;
UPDATE many SET v = REPEAT('compressed event', 5), n = NULL; DELETE FROM many WHERE id % 2 = 0;
SET GLOBAL log_bin_compress = OFF;
