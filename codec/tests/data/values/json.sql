-- JSON, of MySQL 5.7 and later.
CREATE TABLE documents (id INT PRIMARY KEY, doc JSON, other JSON);
INSERT INTO documents (id, doc) VALUES (1, 'null'), (2, 'true'), (3, 'false'), (4, '0'), (5, '-1'), (6, '32767'), (7, '-32769'), (8, '65536'), (9, '-2147483649'), (10, '18446744073709551615'),
  (11, '-9223372036854775808'), (12, '1.0'), (13, '[1.0,1e0,100000000000000.0,1e14,1e15,1e16,1e17,123456789012345678,1.5e15,1.5e16,123456789012345.5,0.1,0.00001,1e-13,1e-14,1e-15,1e-16,1.25e-14,1.25e-15,1.25e-16,-0.0,1e300,1.7976931348623157e308,5e-324,2.2250738585072014e-308,-1.5e-100,123e45,99.99,0.3,19.990001]'),
  (14, '""'), (15, '"text"'), (16, '"é中😀"'), (17, '"a\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\u007f/\\"\\\\"'), (18, '[]'), (19, '{}'), (20, '[1,2,[3,[4,[]]],{"a":{}}]'),
  (21, '{"b":1,"a":2,"aa":3,"":4,"z":[null,true,false],"long key with spaces and \\"quotes\\"":"v"}'), (22, '{"k1":1,"k2":"two","k3":3.5,"k4":null,"k5":[1,"x"],"k6":{"n":{"m":1}}}'), (24, NULL);
INSERT INTO documents (id, doc) SELECT 30, JSON_ARRAY(CAST('2015-01-15 23:24:25.123456' AS DATETIME(6)), CAST('2015-01-15' AS DATE), CAST('-23:24:25.5' AS TIME(1)), CAST('838:59:59' AS TIME), CAST('0000-00-00' AS DATETIME),
  0.10, -0.5, 1.99, CAST('-12345678901234567890.123456789' AS DECIMAL(40,9)), CAST(0 AS DECIMAL(65,30)), CAST(REPEAT('a', 100) AS BINARY), CAST('' AS BINARY), x'00FF', b'101', CAST('ab' AS BINARY), CAST('abc' AS BINARY));
INSERT INTO documents (id, doc) SELECT 31, JSON_OBJECT('e', labels.e, 's', labels.s, 'bit', bits.f, 'ts', moments.f, 'y', times.y, 'dec', decimals.j, 'blob', binaries.t)
  FROM labels, bits, moments, times, decimals, binaries WHERE labels.id = 2 AND bits.id = 3 AND moments.id = 4 AND times.id = 2 AND decimals.id = 4 AND binaries.id = 2;
-- more than 64 KiB: large containers; strings whose length takes two and three bytes
INSERT INTO documents (id, doc) SELECT 32, CONCAT('{"big":"', REPEAT('0123456789abcdef', 5000), '","n":[-1,70000,-70000,1.5,null,true,"s",5000000000]}');
INSERT INTO documents (id, doc) SELECT 33, CONCAT('["', REPEAT('\\"', 200), '","', REPEAT('é', 100), '","', REPEAT('x', 127), '","', REPEAT('y', 128), '"]');
SET SESSION group_concat_max_len = 1000000;
INSERT INTO documents (id, doc) SELECT 34, CONCAT('{', GROUP_CONCAT('"key', id, '":', id * 1000 ORDER BY id), '}') FROM many;
INSERT INTO documents (id, doc) SELECT 35, CONCAT(REPEAT('[', 99), '1', REPEAT(']', 99));
-- updates that leave holes in the document and change the order of its values
INSERT INTO documents VALUES (40, '{"a":"0123456789","b":"abcdefghij","c":[1,2,3],"d":{"x":1}}', '[1,2,3]');
UPDATE documents SET doc = JSON_SET(doc, '$.a', 'short') WHERE id = 40; UPDATE documents SET doc = JSON_SET(doc, '$.b', 'x', '$.c[1]', 9) WHERE id = 40;
UPDATE documents SET doc = JSON_REPLACE(doc, '$.a', '12345'), other = JSON_SET(other, '$[0]', 7) WHERE id = 40; UPDATE documents SET doc = JSON_REMOVE(doc, '$.d.x') WHERE id = 40;
