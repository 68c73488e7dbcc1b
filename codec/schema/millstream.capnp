@0xd3a1f0c27b5e9a41;
# The client protocol of Millstream, version 1.
#
# Both directions are plain streams of Cap'n Proto messages in the standard framing: the client sends
# `ClientMessage`, the server sends `ServerMessage`. docs/protocol.md says when; this file says what.
# Fields are only ever added. A server and a client agree on the protocol version in Hello and Welcome.

# ---------------------------------------------------------------------------------------------- client to server

struct ClientMessage {
  union {
    hello @0 :Hello;
    subscribe @1 :Subscribe;
    ack @2 :Ack;
    rollback @3 :Void;            # deliver again what comes behind the last ack
    credit @4 :UInt64;            # so many more bytes may be sent; one message may overdraw it
    ping @5 :UInt64;              # answered by pong with the same number
    unsubscribe @6 :Void;         # end this connection cleanly; the cursor stays
  }
}

struct Hello {
  protocolVersion @0 :UInt16;     # 1
  clientName @1 :Text;            # shown in status and logs
  user @2 :Text;
  password @3 :Text;              # empty where the server asks for none
  highestEpoch @4 :UInt64;        # the highest epoch that this client has seen, 0 if none
}

struct Subscribe {
  destination @0 :Text;
  subscription @1 :Text;          # name of the durable cursor; empty: an ephemeral one, gone with the connection
  filter @2 :Filter;
  start @3 :Start;
  order @4 :Order;
  creditBytes @5 :UInt64;         # initial credit
  compiled @6 :List(CompiledField); # what the client's generated code was compiled for
  standby @7 :Bool;               # true: wait where the name is in use; false: an error then
}

enum Order { commit @0; table @1; }

struct Filter {
  include @0 :List(Text);         # table patterns `db.table` with `*`, or `/regex/`; empty: every table
  exclude @1 :List(Text);         # what is taken away from it
  columns @2 :List(ColumnFilter); # projections
  kinds @3 :List(Op);             # row kinds; empty: all
  ddl @4 :Bool = true;            # deliver DDL of matching tables
}

struct ColumnFilter {
  tables @0 :Text;                # pattern, as in include
  columns @1 :List(Text);         # the columns to send of these tables; the others read as NULL
}

struct Start {
  union {
    resume @0 :Void;              # the durable cursor; where there is none yet, the latest position
    token @1 :Data;               # a resume token; overrides the durable cursor
    earliest @2 :Void;            # the oldest position that the server still has
    latest @3 :Void;
    gtidSet @4 :Text;             # executed so far: a MySQL GTID set, or a MariaDB position
    file @5 :FilePosition;
    timestampUs @6 :Int64;        # the first transaction committed at or after it
  }
}

struct FilePosition { file @0 :Text; offset @1 :UInt64; }

struct CompiledField { table @0 :Text; field @1 :Text; ordinal @2 :UInt16; type @3 :Text; }

struct Ack { epoch @0 :UInt64; sequence @1 :UInt64; }   # every transaction up to and with this one

# ---------------------------------------------------------------------------------------------- server to client

struct ServerMessage {
  union {
    welcome @0 :Welcome;
    subscribed @1 :Subscribed;
    layout @2 :Layout;
    batch @3 :Batch;
    acked @4 :Acked;
    schemaBreak @5 :SchemaBreak;
    heartbeat @6 :Heartbeat;
    error @7 :Error;
    pong @8 :UInt64;
    redirect @9 :List(Text);      # addresses of the servers to ask instead
    waiting @10 :Void;            # standby: another connection has this subscription
    rolledBack @11 :Position;     # answer to rollback: what follows starts behind this position
    notice @12 :Notice;           # for people; nothing ends by it
  }
}

struct Welcome {
  protocolVersion @0 :UInt16;
  serverVersion @1 :Text;
  serverId @2 :Text;
}

struct Subscribed {
  epoch @0 :UInt64;
  position @1 :Position;          # what follows starts behind this position
  token @2 :Data;                 # the base of resume tokens: the same position, opaque
}

struct Position {
  incarnation @0 :Text;           # server_uuid, or what stands for it
  file @1 :Text;
  offset @2 :UInt64;              # end of the last transaction
  gtidSet @3 :Text;               # executed set; empty where the source has no GTIDs
  openXa @4 :List(OpenXa);
}

struct OpenXa { xid @0 :Data; gtid @1 :Text; file @2 :Text; offset @3 :UInt64; }

struct Layout {
  id @0 :UInt32;                  # of this connection; Rows name it
  database @1 :Text;
  table @2 :Text;
  structId @3 :UInt64;            # stable over versions of the table
  version @4 :UInt32;
  fileId @5 :UInt64;              # of this version's text
  dataWords @6 :UInt16;
  pointers @7 :UInt16;
  columns @8 :List(Column);       # in the order of the table
  capnpText @9 :Text;             # this version as a .capnp file
  nodes @10 :List(Data);          # the same, compiled: each a framed message whose root is a schema.Node, the struct's first
}

struct Column {
  name @0 :Text;                  # the column's own name
  field @1 :Text;                 # the name in the .capnp text
  ordinal @2 :UInt16;
  kind @3 :ColumnKind;
  slot @4 :UInt32;                # offset in units of the field's size, or index of the pointer
  nullSlot @5 :UInt32;            # bit of <field>IsNull; 0xffffffff where NULL is a null pointer. The field's default is
                                  # true, and what is stored is XORed with the default: bit 1 = there is a value
  mysqlType @6 :Text;             # as SHOW CREATE TABLE would print it, as far as it is known
  digits @7 :UInt8;               # fractional digits of temporal columns
  labels @8 :List(Text);          # ENUM and SET
  primaryKey @9 :UInt16;          # place in the primary key, from 1; 0: not part of it
  masked @10 :Bool;               # left out by the subscription's projection
  bits @11 :UInt8;                # of BIT(n)
}

enum ColumnKind {
  unknown @0;
  int8 @1; int16 @2; int32 @3; int64 @4;
  uint8 @5; uint16 @6; uint32 @7; uint64 @8;
  float32 @9; float64 @10;
  decimal @11;                    # Text
  bit @12; set @13;               # UInt64
  enum @14; year @15;             # UInt16
  date @16; datetime @17; timestamp @18; time @19;   # Int64, microseconds
  text @20; json @21;             # Text
  data @22; geometry @23;         # Data
  vector @24;                     # List(Float32)
  inet6 @25; inet4 @26; uuid @27; # Text
}

struct Batch {
  epoch @0 :UInt64;
  firstSequence @1 :UInt64;
  lastSequence @2 :UInt64;
  fragments @3 :List(Fragment);
}

# A transaction, or a part of one.
struct Fragment {
  sequence @0 :UInt64;            # ascending; what Ack names
  commitTimeUs @1 :Int64;         # of the source's clock; its precision is in timePrecisionUs
  timePrecisionUs @2 :UInt32;     # 1 or 1000000
  begin @3 :Bool;                 # first part of its transaction
  commit @4 :Bool;                # last part: the transaction has committed
  abort @5 :Bool;                 # last part: the transaction was rolled back; forget its rows
  position @6 :FilePosition;      # where the transaction ends; meaningful with commit
  gtid @7 :Text;
  gtidDelta @8 :Text;             # with commit: GTIDs to add to the executed set, transactions without rows for this subscription too; empty: gtid alone
  changes @9 :List(Change);
  truncateTo @10 :UInt32 = 0xffffffff;  # forget the Rows of this transaction whose `event` is not below this (ROLLBACK TO SAVEPOINT)
  startPosition @11 :FilePosition; # where the transaction begins
}

struct Change {
  union {
    rows @0 :Rows;
    ddl @1 :Ddl;
  }
}

struct Rows {
  layout @0 :UInt32;
  op @1 :Op;
  count @2 :UInt32;               # rows in before and in after
  firstRow @3 :UInt32;            # ordinal of the first row among the rows of its table in its transaction
  before @4 :AnyPointer;          # List(the table's struct); update, delete
  after @5 :AnyPointer;           # List(the table's struct); insert, update
  beforePresent @6 :Data;         # bit i: column i (of Layout.columns) is in the image; empty: all are
  afterPresent @7 :Data;
  cells @8 :List(Cell);           # what does not fit a struct; ascending by row
  offset @9 :UInt64;              # of the event in its file
  event @10 :UInt32;              # ordinal of the event in its transaction, over all its parts
}

enum Op { insert @0; update @1; delete @2; }

struct Cell {
  row @0 :UInt32;
  column @1 :UInt16;              # index in Layout.columns
  image @2 :UInt8;                # 0 before, 1 after
  state @3 :CellState;
  payload @4 :Data;
}

enum CellState {
  invalidText @0;                 # payload: the bytes as MySQL has them; the field holds them with replacement characters
  jsonDiff @1;                    # payload: the binary diff of MySQL; its document is not in the before image
  masked @2;
}

struct Ddl {
  database @0 :Text;              # default database of the statement
  statement @1 :Text;
  kind @2 :Text;                  # create_table, alter_table, drop_table, rename_table, truncate_table, other
  tables @3 :List(Text);          # db.table of those affected
}

struct Acked { epoch @0 :UInt64; sequence @1 :UInt64; position @2 :Position; }

struct SchemaBreak { table @0 :Text; field @1 :Text; ordinal @2 :UInt16; reason @3 :Text; }

struct Heartbeat {
  sequence @0 :UInt64;            # every transaction up to it has been sent, or filtered away
  position @1 :Position;          # set when nothing is outstanding: what was filtered moves the position too
  serverTimeUs @2 :Int64;
  sourceLagUs @3 :Int64;          # -1: not known
}

struct Notice {
  code @0 :Text;                  # stable, machine-readable: docs/protocol.md lists them
  message @1 :Text;
}

struct Error {
  code @0 :Text;                  # stable, machine-readable: docs/protocol.md lists them
  message @1 :Text;               # for people: what happened and what to do
  retry @2 :Bool;                 # true: the same request may succeed later
}
