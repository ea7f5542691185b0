"""What many begin with: paho-mqtt's callback and influxdb-client's batching writer."""

import json
import os
import signal
import sys

import paho.mqtt.client as mqtt
from influxdb_client import InfluxDBClient, Point, WriteOptions

influx = InfluxDBClient(
    url=os.environ["INFLUX_URL"], token=os.environ["INFLUX_TOKEN"], org=os.environ["INFLUX_ORG"]
)
writer = influx.write_api(write_options=WriteOptions(batch_size=5_000, flush_interval=1_000))
FIELDS = ("q_work", "q_std", "t_c", "p_kpa_abs", "batt_v", "rsrp")


def on_connect(client, *_):
    client.subscribe("gas/+/+/+/up/reading", qos=1)


def on_message(_client, _userdata, message):
    said = json.loads(message.payload)
    point = Point("reading").tag("dev", said["dev"]).time(said["ts"])
    point.field("seq", float(said["seq"]))
    point.field("work_m3", said["work_m3"]).field("std_m3", said["std_m3"])
    for name in FIELDS:
        point.field(name, float(said[name]))
    writer.write(bucket=os.environ["INFLUX_BUCKET"], record=point)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench", clean_session=False)
client.on_connect = on_connect
client.on_message = on_message
client.connect("127.0.0.1", int(os.environ["MQTT_PORT"]))


def leave(*_):
    client.disconnect()
    writer.close()
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)
client.loop_forever()
