"""Every data type in every order, served by pymodbus over TCP, serial frames through TCP, and a serial line.

Prints one line of JSON once all three listen: ports, the serial port's path, and the cases: which unit
holds which value as which type in which order. pymodbus itself lays out numbers with words from the
first to the last (ABCD) or the last to the first (CDAB), and text; the orders it does not know are its
ABCD with bytes moved about.
"""

import asyncio
import json
import os
import select
import threading
import tty

from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

TYPES = ModbusClientMixin.DATATYPE
VALUES = {
    "i16": (TYPES.INT16, -12345),
    "u16": (TYPES.UINT16, 54321),
    "i32": (TYPES.INT32, -1234567890),
    "u32": (TYPES.UINT32, 3456789012),
    "i64": (TYPES.INT64, -1234567890123456),
    "u64": (TYPES.UINT64, 2345678901234567),
    "f32": (TYPES.FLOAT32, 1243.125),
    "f64": (TYPES.FLOAT64, -98765.4321),
}
ORDERS = {2: ["AB", "BA"], 4: ["ABCD", "CDAB", "BADC", "DCBA"]}
ORDERS[8] = ORDERS[4] + ["ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA", "CDABGHEF", "EFGHABCD"]


def registers(data):
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def wire(kind, value, order):
    """The registers of a value, by pymodbus where it knows the order."""
    convert = ModbusClientMixin.convert_to_registers
    big = convert(value, kind, word_order="big")
    if order in ("ABCD", "AB"):
        return big
    if order == "CDAB":
        return convert(value, kind, word_order="little")
    plain = b"".join(r.to_bytes(2, "big") for r in big)
    if order == "BADC":
        return registers(b"".join(plain[i + 1 : i - 1 if i else None : -1] for i in range(0, len(plain), 2)))
    if order == "DCBA":
        return registers(plain[::-1])
    return registers(bytes(plain["ABCDEFGH".index(letter)] for letter in order))


def cases():
    out = []
    for name, (kind, value) in VALUES.items():
        for order in ORDERS[2 * kind.value[1]]:
            out.append(({"type": name, "order": order, "value": value}, wire(kind, value, order)))
    digits = bytes.fromhex("0012345678901234")
    for order in ORDERS[4] + ["CDABGHEF"]:
        if order in ORDERS[4]:
            words = registers(digits)
            words = words[::-1] if order in ("CDAB", "DCBA") else words
            if order in ("BADC", "DCBA"):
                words = [(w & 0xFF) << 8 | w >> 8 for w in words]
        else:
            words = registers(bytes(digits["ABCDEFGH".index(letter)] for letter in order))
        out.append(({"type": "bcd", "order": order, "value": 12345678901234}, words))
    text = "FX-2026-0417"
    words = ModbusClientMixin.convert_to_registers(text, TYPES.STRING)
    out.append(({"type": "text", "bytes": "both", "words": len(words), "value": text}, words))
    for side, shift in (("high", 8), ("low", 0)):
        one = [ord(c) << shift for c in text]
        out.append(({"type": "text", "bytes": side, "words": len(one), "value": text}, one))
    for unit, (case, _) in enumerate(out, start=1):
        case["unit"] = unit
    return out


def crossed_lines():
    """Two serial ports joined by a cable: what is written to one is read from the other."""
    ends = [os.openpty() for _ in range(2)]
    for _, port in ends:
        tty.setraw(port)
    masters = [master for master, _ in ends]

    def carry():
        while True:
            for master in select.select(masters, [], [])[0]:
                os.write(masters[1 - masters.index(master)], os.read(master, 4096))

    threading.Thread(target=carry, daemon=True).start()
    return [os.ttyname(port) for _, port in ends]


async def main():
    all_cases = cases()
    devices = {}
    for case, words in all_cases:
        # The data block counts from 1 where the wire counts from 0.
        block = ModbusSequentialDataBlock(1, words)
        devices[case["unit"]] = ModbusDeviceContext(hr=block, ir=block)
    context = ModbusServerContext(devices=devices, single=False)
    ports = {}
    for name, framer in (("tcp", FramerType.SOCKET), ("rtu", FramerType.RTU)):
        server = ModbusTcpServer(
            context, framer=framer, address=("127.0.0.1", 0), ignore_missing_devices=True
        )
        await server.listen()
        ports[name] = server.transport.sockets[0].getsockname()[1]
    theirs, ours = crossed_lines()
    serial = ModbusSerialServer(
        context, framer=FramerType.RTU, port=theirs, baudrate=19200, ignore_missing_devices=True
    )
    await serial.listen()
    ports["serial"] = ours
    ports["cases"] = [case for case, _ in all_cases]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
