"""A Modbus TCP server we did not write: two FX correctors (domain: totals as f32 and as BCD).

usage: pymodbus_server.py            prints `PORT=<n>` once it listens on loopback
Unit 1 holds the published example (standard total 1243.1116 m3), unit 2 another total; unit 3 does
not exist and never answers, as a corrector with a flat battery does.
"""

import asyncio
import struct

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

START = 0x000A


def f32(value):
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def bcd(text):
    digits = bytes.fromhex(text)
    return list(struct.unpack(">HHH", digits))


def corrector(work_bcd, std_bcd, work, std):
    registers = (
        f32(work) + f32(std) + f32(0.0) + f32(2.532)
        + bcd(std_bcd) + f32(2.5) + bcd(work_bcd) + f32(21.649) + f32(102.212)
    )
    assert len(registers) == 20
    # The data block counts from 1 where the wire counts from 0.
    block = ModbusSequentialDataBlock(START + 1, registers)
    return ModbusDeviceContext(hr=block, ir=block)


async def main():
    context = ModbusServerContext(
        devices={
            1: corrector("122856864222", "000012431116", 12285686.4222, 1243.1116),
            2: corrector("000000500000", "000002000000", 50.0, 200.0),
        },
        single=False,
    )
    server = ModbusTcpServer(context, address=("127.0.0.1", 0), ignore_missing_devices=True)
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]
    print(f"PORT={port}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
