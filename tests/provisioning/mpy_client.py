"""Runs on MicroPython: a device that is born, enrols over EST and renews over mutual TLS, with the device's own modules.

    micropython mpy_client.py <node's folder> <port> <root.der> <device id>

Prints one line a step: the announcement, then `<step> <status> <body or count>`. Waits for a line on standard input after the
first refusal, so that the test can be the line's station meanwhile.
"""

import binascii
import json
import os
import socket
import sys

import tls

sys.path.insert(0, sys.argv[1])
from node.compat import sha256
from node.wire import der, identity, p256

PORT = int(sys.argv[2])
with open(sys.argv[3], "rb") as file:
    ROOT = file.read()
DEVICE = sys.argv[4]


def post(path, body, client=None):
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    context.load_verify_locations(ROOT)
    if client:
        context.load_cert_chain(client[0], client[1])
    plain = socket.socket()
    plain.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    secure = context.wrap_socket(plain, server_hostname="localhost")
    secure.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    status = int(secure.readline().split()[1])
    headers = {}
    while True:
        line = secure.readline().strip()
        if not line:
            break
        key, _, value = line.partition(b":")
        headers[key.lower()] = value.strip()
    answer = secure.read(int(headers[b"content-length"]))
    secure.close()
    plain.close()
    return status, headers, answer


def say(*words):
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")


def certificate(answer):
    (only,) = der.certs_only(binascii.a2b_base64(answer))
    return only


private, public = p256.keygen(os.urandom(32))
key = der.sec1(private, public)
proof = p256.sign(private, sha256(identity.proof_input(DEVICE)))
say("BIRTH", json.dumps({"device": DEVICE, "key": binascii.hexlify(public).decode(), "model": "hall",
                         "proof": binascii.hexlify(proof).decode()}))
request = binascii.b2a_base64(der.csr(private, public, DEVICE))
status, _, answer = post("/.well-known/est/simpleenroll", request)
say("early", status, json.loads(answer)["code"])
sys.stdin.readline()
status, headers, answer = post("/.well-known/est/simpleenroll", request)
first = certificate(answer)
say("enrol", status, der.cert_public_key(first) == public, b"date" in headers)
status, _, answer = post("/.well-known/est/simplereenroll", request, (first, key))
second = certificate(answer)
say("renew", status, second != first, der.cert_validity(second)[1] >= der.cert_validity(first)[1])
