USE v;
CREATE TABLE vectors (id INT PRIMARY KEY, e VECTOR(3), g18 VARCHAR(30) CHARACTER SET gb18030);
INSERT INTO vectors VALUES (1, TO_VECTOR('[1,-2.5,3e-8]'), '中文😀ä'), (2, NULL, _gb18030 x'A6DA'), (3, TO_VECTOR('[0]'), '');
CREATE TABLE invisible (id INT PRIMARY KEY, doc JSON, hidden INT UNSIGNED INVISIBLE, sum INT AS (id + 1) VIRTUAL, kept INT AS (id + 2) STORED, KEY tags ((CAST(doc->'$.t' AS UNSIGNED ARRAY))));
INSERT INTO invisible (id, doc, hidden) VALUES (1, '{"t":[1,2]}', 4294967295), (2, NULL, NULL);
-- Differences against the document of the before image. Each document is long, so that a difference is shorter.
SET SESSION binlog_row_value_options = 'PARTIAL_JSON';
CREATE TABLE partial (id INT PRIMARY KEY, n INT, a JSON, b JSON, c JSON);
INSERT INTO partial SELECT id, id, JSON_OBJECT('pad', REPEAT('x', 300), 'k', 1, 'list', JSON_ARRAY(1, 2, JSON_OBJECT('in', 'side')), 'o', JSON_OBJECT('p', 1, 'qq', 2), 'odd "key"', 5, 'last', REPEAT('z', 20)),
  JSON_ARRAY(REPEAT('y', 300), 1, 2, 3), JSON_OBJECT('c', REPEAT('w', 300)) FROM integers;
INSERT INTO partial VALUES (7, 7, NULL, NULL, NULL);
UPDATE partial SET a = JSON_SET(a, '$.k', 'replaced') WHERE id = 1;
UPDATE partial SET a = JSON_SET(a, '$.new', CAST('{"deep":[1,{"er":null}]}' AS JSON), '$.zz', 1.50, '$.list[1]', 'two') WHERE id = 2;
UPDATE partial SET a = JSON_REMOVE(a, '$.o.p', '$.list[0]', '$.last') WHERE id = 3;
UPDATE partial SET a = JSON_SET(a, '$."odd \\"key\\""', 6, '$.list[2].in', 'out', '$.list[9]', 'appended'), b = JSON_SET(b, '$[1]', JSON_ARRAY(), '$[last]', 'end') WHERE id = 4;
UPDATE partial SET b = JSON_REMOVE(b, '$[1]'), n = 55 WHERE id = 5;
UPDATE partial SET a = JSON_SET(a, '$.k', 2), b = NULL, c = JSON_SET(c, '$.d', TRUE) WHERE id = 6;
UPDATE partial SET n = n + 1; UPDATE partial SET a = JSON_REPLACE(a, '$.k', id), b = JSON_SET(b, '$[0]', 'short now');
UPDATE partial SET a = '{"whole":1}', c = JSON_SET(c, '$.c', 'x') WHERE id = 1;
SET SESSION binlog_row_image = 'NOBLOB'; UPDATE partial SET c = JSON_SET(c, '$.e', id, '$.f', 'f') WHERE id IN (2, 3); SET SESSION binlog_row_image = 'FULL';
SET SESSION binlog_row_value_options = '';
