"""What one would write instead of our pipeline: PyAV decodes, OpenCV and NumPy resize, ONNX Runtime with
one thread runs the same models. For each line that comes in, every frame of the file is analysed; the
answer is the frames, the faces found in them, and the microseconds that this process had processors."""

import sys
import time

import av
import cv2
import numpy
import onnxruntime

path, detector, confirmer, recogniser = sys.argv[1:5]
WIDTH, HEIGHT = 384, 224
LEAST_SCORE = numpy.log(0.35 / 0.65)
TEMPLATE = numpy.array(
    [[0.225492, 0.21599], [0.754761, 0.21599], [0.490127, 0.515625], [0.254149, 0.780233], [0.726104, 0.780233]]
)
TEMPLATE = ((TEMPLATE + 0.25) / 1.5 * 150).astype(numpy.float32)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def cells(stride, anchors):
    y, x = numpy.mgrid[0 : HEIGHT // stride, 0 : WIDTH // stride]
    centres = (numpy.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
    return numpy.repeat(centres, anchors, 0)


cv2.setNumThreads(1)
detect, confirm, recognise = map(session, (detector, confirmer, recogniser))
CELLS = numpy.concatenate([cells(16, 2), cells(32, 6)])


def surest(boxes, scores, overlap):
    """The surest of boxes (left, top, width, height) that overlap."""
    if len(boxes) == 0:
        return []
    return list(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, overlap))


def candidates(image):
    scale = max(image.shape[1] / WIDTH, image.shape[0] / HEIGHT)
    size = round(image.shape[1] / scale), round(image.shape[0] / scale)
    small = numpy.zeros((HEIGHT, WIDTH, 3), numpy.float32)
    small[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    planes = ((small - 127.5) / 127.5).transpose(2, 0, 1)[None]
    names = ["scores16", "scores32", "boxes16", "boxes32"]
    s16, s32, b16, b32 = detect.run(names, {"input": numpy.ascontiguousarray(planes)})
    scores = numpy.concatenate([s16[0, :, 0], s32[0, :, 0]])
    sure = scores >= LEAST_SCORE
    numbers = numpy.concatenate([b16[0], b32[0]])[sure]
    middles = CELLS[sure] + numbers[:, :2]
    boxes = numpy.concatenate([middles - numbers[:, 2:4] / 2, numbers[:, 2:4]], 1) * scale
    scores = 1 / (1 + numpy.exp(-scores[sure]))
    return boxes[surest(boxes, scores, 0.3)]


def confirmed(image, boxes):
    """Boxes and points of the faces among the candidates, all of which are looked at in one run."""
    if len(boxes) == 0:
        return []
    inputs, corners, edges = [], [], []
    for left, top, width, height in boxes:
        edge = max(width, height) * 1.15
        x, y = left + width / 2 - edge / 2, top + height / 2 - edge / 2 - edge * 0.05
        x0, y0, x1, y1 = round(x), round(y), round(x + edge), round(y + edge)
        inside = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        part = cv2.copyMakeBorder(
            inside,
            max(-y0, 0), y1 - y0 - inside.shape[0] - max(-y0, 0),
            max(-x0, 0), x1 - x0 - inside.shape[1] - max(-x0, 0),
            cv2.BORDER_CONSTANT,
        )
        inputs.append(cv2.resize(part, (48, 48), interpolation=cv2.INTER_AREA))
        corners.append((x, y))
        edges.append(edge)
    planes = ((numpy.array(inputs, numpy.float32) - 127.5) / 128).transpose(0, 3, 1, 2)
    sides, points, face = confirm.run(["box", "points", "face"], {"input": numpy.ascontiguousarray(planes)})
    sure = face[:, 1] >= 0.6
    corners, edges = numpy.array(corners)[sure], numpy.array(edges)[sure, None]
    sides, points, scores = sides[sure], points[sure], face[sure, 1]
    begins = corners + sides[:, :2] * edges
    boxes = numpy.concatenate([begins, corners + (1 + sides[:, 2:]) * edges - begins], 1)
    points = numpy.stack([points[:, :5], points[:, 5:]], -1) * edges[:, None] + corners[:, None]
    return [(boxes[at], points[at]) for at in surest(boxes, scores, 0.4)]


def describe(image, points):
    place, _ = cv2.estimateAffinePartial2D(points.astype(numpy.float32), TEMPLATE, method=cv2.LMEDS)
    face = cv2.warpAffine(image, place, (150, 150)).astype(numpy.float32)
    return recognise.run(None, {"input": numpy.ascontiguousarray(face.transpose(2, 0, 1)[None])})[0]


def analyse(recognised):
    frames = faces = 0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            image = frame.to_ndarray(format="rgb24")
            found = confirmed(image, candidates(image))
            if recognised:
                for box, points in found:
                    if box[2] >= 40:
                        describe(image, points)
            frames += 1
            faces += len(found)
    return frames, faces


for line in sys.stdin:
    start = time.process_time()
    frames, faces = analyse(line.strip() == "recognise")
    print(frames, faces, round((time.process_time() - start) * 1e6), flush=True)
