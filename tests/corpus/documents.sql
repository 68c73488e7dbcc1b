-- JSON, and the types of one family only: VECTOR, INET6, INET4, UUID; geometry.
-- Known answers: documents.expected.jsonl
DROP DATABASE IF EXISTS ms_documents;
CREATE DATABASE ms_documents DEFAULT CHARACTER SET utf8mb4;
USE ms_documents;
SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '';

-- already in the form in which MySQL prints JSON, so both families store the same text
-- @if mysql>=5.7.8|mariadb
CREATE TABLE canonical (
  id INT NOT NULL PRIMARY KEY,
  doc JSON
);
INSERT INTO canonical VALUES (1, '{}');
INSERT INTO canonical VALUES (2, '[]');
INSERT INTO canonical VALUES (3, 'null');
INSERT INTO canonical VALUES (4, 'true');
INSERT INTO canonical VALUES (5, 'false');
INSERT INTO canonical VALUES (6, '0');
INSERT INTO canonical VALUES (7, '-1');
INSERT INTO canonical VALUES (8, '1.5');
INSERT INTO canonical VALUES (9, '"text"');
INSERT INTO canonical VALUES (10, '""');
INSERT INTO canonical VALUES (11, '{"a": 1}');
INSERT INTO canonical VALUES (12, '{"a": {"b": {"c": [1, [2, [3, {"d": null}]]]}}}');
INSERT INTO canonical VALUES (13, '[1, "two", 3.25, true, false, null, {}, []]');
INSERT INTO canonical VALUES (14, '{"b": 1, "aa": 2, "ccc": 3}');
INSERT INTO canonical VALUES (15, '[-32768, 32767, -32769, 65535, 65536, 2147483647, -2147483649, 9223372036854775807, -9223372036854775808]');
INSERT INTO canonical VALUES (16, '{"": "empty key", "größe": "Ärger 🦀"}');
INSERT INTO canonical VALUES (17, '"tab\\t quote\\" slash/ back\\\\ line\\n"');
INSERT INTO canonical VALUES (18, NULL);
-- @endif

-- keys are sorted by length, then bytes; the last of two equal keys wins
-- @if mysql>=8.0.3
CREATE TABLE normalised (
  id INT NOT NULL PRIMARY KEY,
  doc JSON
);
INSERT INTO normalised VALUES (1, ' { "zz":1 , "b":[1,2],"a":null }');
INSERT INTO normalised VALUES (2, '{"k": 1, "k": 2}');
INSERT INTO normalised VALUES (3, '[1.0, 1e2, 1E-7, 0.1, 18446744073709551615, 18446744073709551616]');
INSERT INTO normalised VALUES (4, '"\\u00e4\\u20ac\\ud83e\\udd80"');
INSERT INTO normalised VALUES (5, '"\\u0001\\u001f\\b\\f"');
-- @endif

-- JSON holds exact decimals, dates, times and opaque bytes; their text is made by the printer
-- @if mysql>=8.0.3
CREATE TABLE scalars (
  id INT NOT NULL PRIMARY KEY,
  doc JSON
);
INSERT INTO scalars VALUES (1, CAST(CAST('2024-05-06' AS DATE) AS JSON));
INSERT INTO scalars VALUES (2, CAST(CAST('2024-05-06 07:08:09.012345' AS DATETIME(6)) AS JSON));
INSERT INTO scalars VALUES (3, CAST(CAST('-11:12:13.5' AS TIME(1)) AS JSON));
INSERT INTO scalars VALUES (4, JSON_ARRAY(CAST(1.10 AS DECIMAL(5,2)), CAST(-0.001 AS DECIMAL(10,3))));
INSERT INTO scalars VALUES (5, JSON_OBJECT('b', CAST(x'01FF' AS BINARY)));
INSERT INTO scalars VALUES (6, JSON_ARRAY(CAST(18446744073709551615 AS UNSIGNED), CAST(-1 AS SIGNED), 2.5e0));
-- @endif

-- beyond 64 KiB the offsets inside a document have four bytes
-- @if mysql>=5.7.8
CREATE TABLE large_documents (
  id INT NOT NULL PRIMARY KEY,
  doc JSON
);
INSERT INTO large_documents VALUES (1, JSON_ARRAY(REPEAT('v', 5000), REPEAT('w', 127), REPEAT('x', 128), REPEAT('y', 16384)));
INSERT INTO large_documents VALUES (2, CONCAT('{"k": "', REPEAT('z', 65535), '", "n": [', REPEAT('1, ', 300), '1]}'));
-- @endif

-- a VECTOR(3) holds up to three numbers of 32 bits
-- @if mysql>=9.0
CREATE TABLE vectors (
  id INT NOT NULL PRIMARY KEY,
  v VECTOR(3)
);
INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1, -2.5, 0.125]'));
INSERT INTO vectors VALUES (2, STRING_TO_VECTOR('[0, 3.5e10, -1e-3]'));
INSERT INTO vectors VALUES (3, STRING_TO_VECTOR('[7]'));
INSERT INTO vectors VALUES (4, NULL);
-- @endif

-- logged as BINARY(16): the log alone does not tell that it is an address
-- @if mariadb>=10.5
CREATE TABLE addresses (
  id INT NOT NULL PRIMARY KEY,
  six INET6
);
INSERT INTO addresses VALUES (1, '2001:db8:85a3::8a2e:370:7334');
INSERT INTO addresses VALUES (2, 'fe80::');
INSERT INTO addresses VALUES (3, '::ffff:198.51.100.7');
INSERT INTO addresses VALUES (4, NULL);
-- @endif

-- @if mariadb>=10.10
CREATE TABLE identifiers (
  id INT NOT NULL PRIMARY KEY,
  u UUID,
  four INET4
);
INSERT INTO identifiers VALUES (1, '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '203.0.113.250');
INSERT INTO identifiers VALUES (2, 'f47ac10b-58cc-4372-a567-0e02b2c3d400', '10.0.0.0');
INSERT INTO identifiers VALUES (3, NULL, NULL);
-- @endif

-- four bytes of SRID, then WKB in little-endian order
CREATE TABLE places (
  id INT NOT NULL PRIMARY KEY,
  spot POINT,
  path LINESTRING,
  any_ GEOMETRY
);
INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1 -2)'), ST_GeomFromText('LINESTRING(0 0,1.5 2.5)'), ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 0))'));
INSERT INTO places VALUES (2, NULL, NULL, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(9 8))'));
