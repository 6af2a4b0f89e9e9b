"""Runs a model RUNS times for each line that comes in, and answers with the microseconds that one run
had the processor."""

import sys
import time

import numpy
import onnxruntime

path, width, height, runs = sys.argv[1], *map(int, sys.argv[2:5])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
planes = (numpy.arange(3 * width * height) % 255 / 127.5 - 1).astype(numpy.float32)
planes = planes.reshape(1, 3, height, width)

for _ in sys.stdin:
    start = time.process_time()
    for _ in range(runs):
        session.run(None, {name: planes})
    print(round((time.process_time() - start) / runs * 1e6), flush=True)
