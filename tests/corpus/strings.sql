-- Text in several character sets, binary strings of every length prefix, ENUM and SET.
-- Known answers: strings.expected.jsonl
DROP DATABASE IF EXISTS ms_strings;
CREATE DATABASE ms_strings DEFAULT CHARACTER SET utf8mb4;
USE ms_strings;
SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '';

-- rows 3 and 6: what escapes hide, and lengths around the prefix widths
CREATE TABLE words (
  id INT NOT NULL PRIMARY KEY,
  fixed CHAR(6),
  short VARCHAR(20),
  long_ VARCHAR(300),
  tiny TINYTEXT,
  plain TEXT,
  medium MEDIUMTEXT,
  large LONGTEXT
);
INSERT INTO words VALUES (1, '', '', '', '', '', '', '');
INSERT INTO words VALUES (2, 'six si', 'zwölf Boxkämpfer', 'naïve', 'tiny', 'plain text', 'medium', 'large');
INSERT INTO words VALUES (3, 'pad   ', 'keep  ', 'tab\there', 'line\nbreak', 'nul\0byte', 'quote''s \"both\"', 'back\\slash');
INSERT INTO words VALUES (4, '🦀🦀🦀🦀🦀🦀', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢', '日本語テキスト', '한국어', 'Ελληνικά', 'עברית', 'العربية');
INSERT INTO words VALUES (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO words VALUES (6, REPEAT('ß', 6), REPEAT('y', 20), REPEAT('z', 300), REPEAT('t', 255), REPEAT('p', 256), REPEAT('m', 65536), REPEAT('ł', 300));
INSERT INTO words VALUES (7, ' lead', 'O''Brien', '%_%', 'NULL', '0', 'true', '{"json": false}');

-- MySQL's latin1 is Windows code page 1252
CREATE TABLE alphabets (
  id INT NOT NULL PRIMARY KEY,
  latin1_ VARCHAR(40) CHARACTER SET latin1,
  latin2_ VARCHAR(40) CHARACTER SET latin2,
  cyrillic VARCHAR(40) CHARACTER SET cp1251,
  koi VARCHAR(40) CHARACTER SET koi8r,
  greek_ VARCHAR(40) CHARACTER SET greek,
  chinese VARCHAR(40) CHARACTER SET gbk,
  japanese VARCHAR(40) CHARACTER SET sjis,
  korean VARCHAR(40) CHARACTER SET euckr,
  wide VARCHAR(40) CHARACTER SET utf16,
  wide4 VARCHAR(40) CHARACTER SET utf32,
  two VARCHAR(40) CHARACTER SET ucs2,
  three VARCHAR(40) CHARACTER SET utf8,
  seven VARCHAR(40) CHARACTER SET ascii
);
INSERT INTO alphabets VALUES (1, 'Straße – 5 €', 'Žluťoučký kůň', 'Съешь ещё', 'Широкая', 'Ξεσκεπάζω', '你好世界', 'こんにちは', '안녕하세요', 'a🦀b', '🦀', 'Ünïcode', 'žř€', 'plain');
INSERT INTO alphabets VALUES (2, '', '', '', '', '', '', '', '', '', '', '', '', '');
INSERT INTO alphabets VALUES (3, '‘quotes’ œ Ÿ', 'łódź', '№ 5', 'Я', 'ώ', '中', 'ｶﾅ', '가', 'é', 'é', 'é', 'é', '~');
INSERT INTO alphabets VALUES (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE mixed_text (
  id INT NOT NULL PRIMARY KEY,
  fixed_latin CHAR(12) CHARACTER SET latin1,
  body TEXT CHARACTER SET cp1251,
  collated VARCHAR(30) COLLATE utf8mb4_bin,
  wide_text TEXT CHARACTER SET utf16
);
INSERT INTO mixed_text VALUES (1, 'Ärgernis', 'Привет, мир', 'Case Sensitive', 'plötzlich 🦀');
INSERT INTO mixed_text VALUES (2, '', '', '', '');

-- a BINARY is filled with zero bytes; the log leaves them out
CREATE TABLE octets (
  id INT NOT NULL PRIMARY KEY,
  fixed BINARY(5),
  var_ VARBINARY(12),
  wide VARBINARY(400),
  tiny TINYBLOB,
  plain BLOB,
  medium MEDIUMBLOB,
  large LONGBLOB
);
INSERT INTO octets VALUES (1, x'0102030405', x'00', x'ff00ff00', x'00', x'deadbeef', x'cafe', x'ffffffff');
INSERT INTO octets VALUES (2, x'01', x'0100', x'', x'', x'', x'', x'');
INSERT INTO octets VALUES (3, x'20202020', x'2020', REPEAT(x'AB', 300), REPEAT(x'00', 255), REPEAT(x'7F', 256), REPEAT(x'01', 65536), REPEAT(x'C328', 3));
INSERT INTO octets VALUES (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

-- row 4: a label that does not exist is stored as number 0, which prints as nothing; the empty label of "odd" has number 1
CREATE TABLE choices (
  id INT NOT NULL PRIMARY KEY,
  size ENUM('small','medium','large'),
  many ENUM('no001', 'no002', 'no003', 'no004', 'no005', 'no006', 'no007', 'no008', 'no009', 'no010', 'no011', 'no012', 'no013', 'no014', 'no015', 'no016', 'no017', 'no018', 'no019', 'no020', 'no021', 'no022', 'no023', 'no024', 'no025', 'no026', 'no027', 'no028', 'no029', 'no030', 'no031', 'no032', 'no033', 'no034', 'no035', 'no036', 'no037', 'no038', 'no039', 'no040', 'no041', 'no042', 'no043', 'no044', 'no045', 'no046', 'no047', 'no048', 'no049', 'no050', 'no051', 'no052', 'no053', 'no054', 'no055', 'no056', 'no057', 'no058', 'no059', 'no060', 'no061', 'no062', 'no063', 'no064', 'no065', 'no066', 'no067', 'no068', 'no069', 'no070', 'no071', 'no072', 'no073', 'no074', 'no075', 'no076', 'no077', 'no078', 'no079', 'no080', 'no081', 'no082', 'no083', 'no084', 'no085', 'no086', 'no087', 'no088', 'no089', 'no090', 'no091', 'no092', 'no093', 'no094', 'no095', 'no096', 'no097', 'no098', 'no099', 'no100', 'no101', 'no102', 'no103', 'no104', 'no105', 'no106', 'no107', 'no108', 'no109', 'no110', 'no111', 'no112', 'no113', 'no114', 'no115', 'no116', 'no117', 'no118', 'no119', 'no120', 'no121', 'no122', 'no123', 'no124', 'no125', 'no126', 'no127', 'no128', 'no129', 'no130', 'no131', 'no132', 'no133', 'no134', 'no135', 'no136', 'no137', 'no138', 'no139', 'no140', 'no141', 'no142', 'no143', 'no144', 'no145', 'no146', 'no147', 'no148', 'no149', 'no150', 'no151', 'no152', 'no153', 'no154', 'no155', 'no156', 'no157', 'no158', 'no159', 'no160', 'no161', 'no162', 'no163', 'no164', 'no165', 'no166', 'no167', 'no168', 'no169', 'no170', 'no171', 'no172', 'no173', 'no174', 'no175', 'no176', 'no177', 'no178', 'no179', 'no180', 'no181', 'no182', 'no183', 'no184', 'no185', 'no186', 'no187', 'no188', 'no189', 'no190', 'no191', 'no192', 'no193', 'no194', 'no195', 'no196', 'no197', 'no198', 'no199', 'no200', 'no201', 'no202', 'no203', 'no204', 'no205', 'no206', 'no207', 'no208', 'no209', 'no210', 'no211', 'no212', 'no213', 'no214', 'no215', 'no216', 'no217', 'no218', 'no219', 'no220', 'no221', 'no222', 'no223', 'no224', 'no225', 'no226', 'no227', 'no228', 'no229', 'no230', 'no231', 'no232', 'no233', 'no234', 'no235', 'no236', 'no237', 'no238', 'no239', 'no240', 'no241', 'no242', 'no243', 'no244', 'no245', 'no246', 'no247', 'no248', 'no249', 'no250', 'no251', 'no252', 'no253', 'no254', 'no255', 'no256', 'no257', 'no258', 'no259', 'no260', 'no261', 'no262', 'no263', 'no264', 'no265', 'no266', 'no267', 'no268', 'no269', 'no270', 'no271', 'no272', 'no273', 'no274', 'no275', 'no276', 'no277', 'no278', 'no279', 'no280', 'no281', 'no282', 'no283', 'no284', 'no285', 'no286', 'no287', 'no288', 'no289', 'no290', 'no291', 'no292', 'no293', 'no294', 'no295', 'no296', 'no297', 'no298', 'no299', 'no300'),
  odd ENUM('', 'a''b', 'c,d', 'größe', 'back\\slash'),
  toppings SET('cheese','ham','olives'),
  nine SET('a','b','c','d','e','f','g','h','i'),
  bits SET('bit00', 'bit01', 'bit02', 'bit03', 'bit04', 'bit05', 'bit06', 'bit07', 'bit08', 'bit09', 'bit10', 'bit11', 'bit12', 'bit13', 'bit14', 'bit15', 'bit16', 'bit17', 'bit18', 'bit19', 'bit20', 'bit21', 'bit22', 'bit23', 'bit24', 'bit25', 'bit26', 'bit27', 'bit28', 'bit29', 'bit30', 'bit31', 'bit32', 'bit33', 'bit34', 'bit35', 'bit36', 'bit37', 'bit38', 'bit39', 'bit40', 'bit41', 'bit42', 'bit43', 'bit44', 'bit45', 'bit46', 'bit47', 'bit48', 'bit49', 'bit50', 'bit51', 'bit52', 'bit53', 'bit54', 'bit55', 'bit56', 'bit57', 'bit58', 'bit59', 'bit60', 'bit61', 'bit62', 'bit63')
);
INSERT INTO choices VALUES (1, 'small', 'no001', 'a''b', 'cheese', 'a,i', 'bit00');
INSERT INTO choices VALUES (2, 'large', 'no300', 'c,d', 'ham,olives', 'a,b,c,d,e,f,g,h,i', 'bit63');
INSERT INTO choices VALUES (3, 2, 256, 'größe', 'olives,cheese,olives', 0, 18446744073709551615);
INSERT INTO choices VALUES (4, 'huge', 'no301', '', 'ham,anchovy', 'z', 'bit31,bit32');
INSERT INTO choices VALUES (5, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO choices VALUES (6, 'SMALL', '255', 'back\\slash', '', 'h', '');

-- labels come in the charset of the column
CREATE TABLE set_in_gbk (
  id INT NOT NULL PRIMARY KEY,
  v SET('大','小') CHARACTER SET gbk,
  e ENUM('春','夏') CHARACTER SET gbk
);
INSERT INTO set_in_gbk VALUES (1, '大,小', '夏');
INSERT INTO set_in_gbk VALUES (2, '小', '春');

-- values too short to gain are stored as they are, with a flag byte before
-- @if mariadb>=10.3
CREATE TABLE compressed_columns (
  id INT NOT NULL PRIMARY KEY,
  words TEXT COMPRESSED,
  name VARCHAR(200) COMPRESSED,
  octets BLOB COMPRESSED,
  small VARBINARY(300) COMPRESSED
);
INSERT INTO compressed_columns VALUES (1, REPEAT('millstream ', 100), REPEAT('ö', 150), REPEAT(x'00FF', 1000), REPEAT(x'EE', 250));
INSERT INTO compressed_columns VALUES (2, 'short', '', x'00', x'');
INSERT INTO compressed_columns VALUES (3, NULL, NULL, NULL, NULL);
-- @endif
