#!/usr/bin/env python3
"""Prints committed rows as JSON lines, by the names of their columns.

    follow.py SCHEMA HOST:PORT DESTINATION SUBSCRIPTION PATTERN COUNT

SCHEMA is codec/schema/millstream.capnp: beside pycapnp it is all that this program has of Millstream. It follows the
tables that PATTERN matches until COUNT transactions have come, acknowledges each, and ends when the last ack is durable.
"""

import json
import os
import socket
import sys
import tempfile

import capnp


class Table:
    """One version of one table, from the text of its layout.

    Each version has a parser of its own: versions share the id of their struct, and two structs of one id end a parser.
    """

    def __init__(self, layout):
        self.name = f"{layout.database}.{layout.table}"
        self.parser = capnp.SchemaParser()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "layout.capnp")
            with open(path, "w", encoding="utf-8") as file:
                file.write(layout.capnpText)
            module = self.parser.load(path)
        structs = [v for v in vars(module).values() if isinstance(v, capnp.lib.capnp._StructModule)]
        self.struct = structs[0]
        self.list_schema = capnp._ListSchema(self.struct)
        fields = self.struct.schema.fields
        at = {field.proto.ordinal.explicit: name for name, field in fields.items()}
        self.columns = []
        for name, field in fields.items():
            # only a column's own field has an annotation: the column's name
            for annotation in field.proto.annotations:
                # NULL is a null pointer, or said by the Bool with the next ordinal
                is_pointer = str(field.proto.slot.type.which()) in ("text", "data", "list")
                null_flag = None if is_pointer else at[field.proto.ordinal.explicit + 1]
                self.columns.append((annotation.value.text, name, null_flag))

    def row(self, row):
        """The row as a dictionary of its columns."""
        return {column: self.value(row, field, flag) for column, field, flag in self.columns}

    @staticmethod
    def value(row, field, null_flag):
        is_null = getattr(row, null_flag) if null_flag else not row._has(field)
        if is_null:
            return None
        value = getattr(row, field)
        if isinstance(value, bytes):
            return {"hex": value.hex()}
        if isinstance(value, (int, float, str)):
            return value
        return list(value)


class Follower:
    def __init__(self, schema, address):
        # the file's path in the checkout is not on the import path of Cap'n Proto
        self.ms = capnp.SchemaParser().load(schema)
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.settimeout(None)
        self.tables = {}

    def send(self, **message):
        self.socket.sendall(self.ms.ClientMessage.new_message(**message).to_bytes())

    def receive(self):
        """Exactly one message: the standard framing tells where it ends."""
        return self.ms.ServerMessage.read(self.socket, traversal_limit_in_words=2**61)

    def expect(self, kind):
        message = self.receive()
        if message.which() == "error":
            sys.exit(f"{message.error.code}: {message.error.message}")
        if message.which() != kind:
            sys.exit(f"{message.which()} came instead of {kind}")
        return getattr(message, kind)

    def follow(self, destination, subscription, pattern, count):
        self.send(hello={"protocolVersion": 1, "clientName": "follow.py"})
        self.expect("welcome")
        credit = 1 << 20
        self.send(
            subscribe={
                "destination": destination,
                "subscription": subscription,
                "filter": {"include": [pattern]},
                "start": {"resume": None},
                "creditBytes": credit,
            }
        )
        epoch = self.expect("subscribed").epoch
        show({"subscribed": True})
        last = None
        while True:
            message = self.receive()
            kind = message.which()
            if kind == "layout":
                self.tables[message.layout.id] = Table(message.layout)
            elif kind == "batch":
                for fragment in message.batch.fragments:
                    # small transactions come whole; this program is not made for others
                    assert fragment.begin and fragment.commit, "a transaction in parts"
                    self.print_changes(fragment)
                    if count > 0:
                        count -= 1
                        last = fragment.sequence
                        self.send(ack={"epoch": epoch, "sequence": last})
                # its exact size does not matter here: more credit than was used does no harm
                self.send(credit=credit)
            elif kind == "acked" and count == 0 and message.acked.sequence >= last:
                show({"durable": True})
                self.send(unsubscribe=None)
                return
            elif kind in ("error", "schemaBreak"):
                sys.exit(str(getattr(message, kind)))

    def print_changes(self, fragment):
        for change in fragment.changes:
            if change.which() == "ddl":
                show({"ddl": change.ddl.statement})
                continue
            rows = change.rows
            table = self.tables[rows.layout]
            images = {}
            for image in ("before", "after"):
                if rows.op != {"before": "insert", "after": "delete"}[image]:
                    images[image] = list(getattr(rows, image).as_list(table.list_schema))
            for place in range(rows.count):
                line = {"op": str(rows.op), "table": table.name}
                line.update({image: table.row(of_image[place]) for image, of_image in images.items()})
                show(line)


def show(line):
    print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    schema, address, destination, subscription, pattern, count = sys.argv[1:]
    Follower(schema, address).follow(destination, subscription, pattern, int(count))
