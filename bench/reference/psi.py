"""SecretFlow's ECDH intersection on curve25519, both sides on this machine.

`psi.py FOLDER` reads FOLDER/0.csv and FOLDER/1.csv (column `id`), and prints the CPU seconds of both processes from the
beginning of the protocol on, the seconds on the wall, and how many codes are common. Needs the package `spu`.
"""

import multiprocessing
import resource
import socket
import sys
import time


def side(rank, ports, folder, out):
    import spu.libspu.link as link
    import spu.psi as psi

    desc = link.Desc()
    for party, port in enumerate(ports):
        desc.add_party(f"party-{party}", f"127.0.0.1:{port}")
    context = link.create_brpc(desc, rank)
    before, start = cpu(), time.perf_counter()
    curve = psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519)
    config = psi.PsiExecuteConfig(
        protocol_conf=psi.PsiProtocolConfig(
            protocol=psi.PsiProtocol.PROTOCOL_ECDH,
            receiver_rank=0,
            broadcast_result=True,
            ecdh_params=curve,
        ),
        input_params=psi.InputParams(path=f"{folder}/{rank}.csv", selected_keys=["id"], keys_unique=True),
        output_params=psi.OutputParams(path=f"{folder}/out-{rank}.csv", disable_alignment=True),
    )
    report = psi.psi_execute(config, context)
    out.put((rank, cpu() - before, time.perf_counter() - start, report.intersection_count))


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def main():
    folder, ports = sys.argv[1], free_ports(2)
    multiprocessing.set_start_method("spawn")
    out = multiprocessing.Queue()
    sides = [multiprocessing.Process(target=side, args=(rank, ports, folder, out)) for rank in range(2)]
    for process in sides:
        process.start()
    results = [out.get(timeout=500) for _ in sides]
    for process in sides:
        process.join()
    cpu_seconds = sum(r[1] for r in results)
    print(f"cpu, wall, common: {cpu_seconds} {max(r[2] for r in results)} {results[0][3]}")


if __name__ == "__main__":
    main()
