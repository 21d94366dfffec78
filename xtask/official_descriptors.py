# SPDX-License-Identifier: Apache-2.0
"""Prints what the official Fabric protobuf bindings declare, one fact a line, sorted.

Needs the PyPI package `hyperledger-fabric-protos` 0.3.7 in the running interpreter. The output is
`crates/proto/tests/official.txt`; the test `official` of the crate `selvedge-proto` produces the
same listing from our own files and compares the two.
"""

import importlib
import pathlib
import sys

import fabric_protos
from google.protobuf import descriptor_pb2

FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in FIELD.Type.items()}


def main():
    facts = []
    for file in official_files():
        facts.append(f"file {file.name} {file.package}")
        for message in file.message_type:
            facts.extend(message_facts(file.package, message))
        for enum in file.enum_type:
            facts.extend(enum_facts(file.package, enum))
        for service in file.service:
            facts.extend(service_facts(file.package, service))
    # The test compares bytes, so the order must not depend on the locale.
    facts.sort(key=lambda fact: fact.encode())
    sys.stdout.write("".join(f"{fact}\n" for fact in facts))


def official_files():
    """The descriptor of each file in the installed package."""
    # The generated modules import each other by their path below the package's own folder.
    root = pathlib.Path(fabric_protos.__file__).parent
    sys.path.insert(0, str(root))
    for path in sorted(root.rglob("*_pb2.py")):
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        yield file


def message_facts(scope, message):
    name = f"{scope}.{message.name}"
    yield f"message {name}"
    # Map fields are listed as maps, so the entry messages behind them are left out.
    entries = {f".{name}.{n.name}": n for n in message.nested_type if n.options.map_entry}
    for field in message.field:
        yield field_fact(name, message, field, entries)
    for reserved in message.reserved_range:
        yield f"reserved {name} {reserved.start} to {reserved.end - 1}"
    for reserved in message.reserved_name:
        yield f'reserved {name} "{reserved}"'
    for nested in message.nested_type:
        if not nested.options.map_entry:
            yield from message_facts(name, nested)
    for enum in message.enum_type:
        yield from enum_facts(name, enum)


def field_fact(name, message, field, entries):
    entry = entries.get(field.type_name)
    if entry:
        key, value = sorted(entry.field, key=lambda f: f.number)
        shape = f"map {type_name(key)} {type_name(value)}"
    else:
        label = FIELD.Label.Name(field.label).removeprefix("LABEL_").lower()
        shape = f"{label} {type_name(field)}"
    fact = f"field {name} {field.number} {field.name} {shape}"
    if field.HasField("oneof_index"):
        fact += f" [oneof {message.oneof_decl[field.oneof_index].name}]"
    return fact


def type_name(field):
    scalar = SCALARS[field.type]
    return f"{scalar} {field.type_name.lstrip('.')}" if field.type_name else scalar


def enum_facts(scope, enum):
    name = f"{scope}.{enum.name}"
    yield f"enum {name}"
    for value in enum.value:
        yield f"enum-value {name} {value.number} {value.name}"
    for reserved in enum.reserved_range:
        yield f"reserved {name} {reserved.start} to {reserved.end}"
    for reserved in enum.reserved_name:
        yield f'reserved {name} "{reserved}"'


def service_facts(scope, service):
    name = f"{scope}.{service.name}"
    yield f"service {name}"
    for method in service.method:
        asked = ("stream " if method.client_streaming else "") + method.input_type.lstrip(".")
        given = ("stream " if method.server_streaming else "") + method.output_type.lstrip(".")
        yield f"rpc /{name}/{method.name} {asked} -> {given}"


if __name__ == "__main__":
    main()
