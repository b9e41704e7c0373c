cimport cython
from libc.math cimport INFINITY, NAN, isfinite
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import hashlib

import numpy as np

from engine._core.debug cimport static_assert_c, unlikely
from engine._core.isa cimport ISA_BASELINE, ISA_V2, ISA_V3, ISA_V4, isa_level
from engine._core.memory cimport block_free, block_new
from engine._core.stable cimport logistic_c, softmax_c

cdef extern from * nogil:
    """
    #include <stdint.h>
    typedef double bot4_eight __attribute__((vector_size(64), aligned(8), may_alias));
    /* One row by one vector, both padded to whole eights: value j belongs to sum j mod 8, whatever the width. The
       products of bytes are sums of integers, exact in any order: the compiler may take VPDPBUSD for them. */
    #define BOT4_DOTS(name, target) \
        target static double bot4_dot_##name(const double *w, const double *x, int64_t n) { \
            bot4_eight s = {0, 0, 0, 0, 0, 0, 0, 0}; \
            for (int64_t i = 0; i < n; i += 8) s += *(const bot4_eight *)(w + i) * *(const bot4_eight *)(x + i); \
            return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])); } \
        target static void bot4_scale_##name(const double *x, const double *c, const double *f, double *out, int64_t n) { \
            for (int64_t i = 0; i < n; i++) out[i] = (x[i] - c[i]) * f[i]; } \
        target static int32_t bot4_bytes_##name(const int8_t *w, const uint8_t *x, int64_t n) { \
            int32_t s = 0; \
            for (int64_t i = 0; i < n; i += 64) \
                for (int j = 0; j < 64; j++) s += (int32_t)w[i + j] * (int32_t)x[i + j]; \
            return s; }
    BOT4_DOTS(base, )
    #if defined(__x86_64__)
    BOT4_DOTS(v3, __attribute__((target("avx2"))))
    BOT4_DOTS(v4, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))))
    BOT4_DOTS(vnni, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512"))))
    static int bot4_vnni(void) { __builtin_cpu_init(); return __builtin_cpu_supports("avx512vnni") != 0; }
    static inline double bot4_dot(const double *w, const double *x, int64_t n, int level) {
        return level >= 4 ? bot4_dot_v4(w, x, n) : level == 3 ? bot4_dot_v3(w, x, n) : bot4_dot_base(w, x, n);
    }
    static inline void bot4_scale(const double *x, const double *c, const double *f, double *out, int64_t n, int level) {
        if (level >= 4) bot4_scale_v4(x, c, f, out, n);
        else if (level == 3) bot4_scale_v3(x, c, f, out, n);
        else bot4_scale_base(x, c, f, out, n);
    }
    static inline int32_t bot4_bytes(const int8_t *w, const uint8_t *x, int64_t n, int level) {
        return level >= 5 ? bot4_bytes_vnni(w, x, n) : level == 4 ? bot4_bytes_v4(w, x, n)
             : level == 3 ? bot4_bytes_v3(w, x, n) : bot4_bytes_base(w, x, n);
    }
    #else
    static int bot4_vnni(void) { return 0; }
    static inline double bot4_dot(const double *w, const double *x, int64_t n, int level) {
        (void)level; return bot4_dot_base(w, x, n);
    }
    static inline void bot4_scale(const double *x, const double *c, const double *f, double *out, int64_t n, int level) {
        (void)level; bot4_scale_base(x, c, f, out, n);
    }
    static inline int32_t bot4_bytes(const int8_t *w, const uint8_t *x, int64_t n, int level) {
        (void)level; return bot4_bytes_base(w, x, n);
    }
    #endif
    /* To the nearest whole number, ties to even, held to a byte: what is no number becomes the lowest. */
    static inline uint8_t bot4_byte(double v) {
        v = v > 127.0 ? 127.0 : v >= -128.0 ? v : -128.0;
        return (uint8_t)(int32_t)(((v + 6755399441055744.0) - 6755399441055744.0) + 128.0);
    }
    """
    int bot4_vnni() noexcept
    double dot_c "bot4_dot"(const double* w, const double* x, int64_t n, int level) noexcept
    int32_t bytes_c "bot4_bytes"(const int8_t* w, const uint8_t* x, int64_t n, int level) noexcept
    void scale_c "bot4_scale"(const double* x, const double* c, const double* f, double* out, int64_t n, int level) noexcept
    uint8_t byte_c "bot4_byte"(double v) noexcept


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(layer_t) == 64)
    static_assert_c(sizeof(node_t) == 16)
    static_assert_c(sizeof(model_t) == 128)


cdef int infer_level() noexcept nogil:
    cdef int level = isa_level()
    return INFER_V_INT8 if level == ISA_V4 and bot4_vnni() else level


cdef inline const char* _at(const model_t* m, uint64_t offset) noexcept nogil:
    return <const char*>m + offset


# ---------------------------------------------------------------------------------------------------------- the answer
cdef bint _any_missing(const model_t* m, const double* x) noexcept nogil:
    cdef bint missing = False
    cdef uint32_t i
    for i in range(m.inputs):
        missing |= x[i] != x[i]
    return missing


cdef void _layer(const model_t* m, const layer_t* y, const double* x, double* out, int level) noexcept nogil:
    cdef uint8_t narrow[INPUTS_MAX]
    cdef const double* bias = <const double*>_at(m, y.at_bias)
    cdef const double* step
    cdef const int32_t* sums
    cdef const char* weights = _at(m, y.at_weights)
    cdef uint32_t i, o
    if not y.narrow:
        for o in range(y.outputs):
            out[o] = dot_c(<const double*>weights + <uint64_t>o * y.stride, x, y.stride, level) + bias[o]
        return
    step, sums = <const double*>_at(m, y.at_step), <const int32_t*>_at(m, y.at_sums)
    for i in range(y.inputs):
        narrow[i] = byte_c(x[i] * y.per_step)
    for i in range(y.inputs, y.stride):
        narrow[i] = 0
    for o in range(y.outputs):
        out[o] = <double>(bytes_c(<const int8_t*>weights + <uint64_t>o * y.stride, narrow, y.stride, level) - sums[o]) * step[o] + bias[o]


cdef void _dense(const model_t* m, const double* x, double* out, int level) noexcept nogil:
    cdef double one[INPUTS_MAX]
    cdef double other[INPUTS_MAX]
    cdef double* here = one
    cdef double* there = other
    cdef double* swap
    cdef const double* centre = <const double*>_at(m, m.at_centre)
    cdef const double* factor = <const double*>_at(m, m.at_factor)
    cdef const layer_t* layers = <const layer_t*>_at(m, m.at_layers)
    cdef uint32_t i, l
    scale_c(x, centre, factor, here, m.inputs, level)
    for l in range(m.layer_count):
        # A row of weights is padded with zeros; what they meet must be a number.
        for i in range(layers[l].inputs, (layers[l].inputs + 7) // 8 * 8):
            here[i] = 0.0
        _layer(m, &layers[l], here, there, level)
        if l + 1 == m.layer_count:
            break
        for i in range(layers[l].outputs):
            there[i] = there[i] if there[i] > 0.0 else 0.0
        swap = here
        here, there = there, swap
    for i in range(m.outputs):
        out[i] = there[i]


cdef inline void _walk(const model_t* m, const double* x, bint missing, double* leaves) noexcept nogil:
    """Every tree down to its leaf, eight of them under way at a time: their loads overlap, where one tree's wait.

    Whoever arrives takes the next tree in the same step, without a branch: a forest's paths are of all lengths, and
    where they end cannot be predicted. Behind the last tree stands a leaf on which the idle wait for the others.
    """
    cdef const node_t* nodes = <const node_t*>_at(m, m.at_nodes)
    cdef const double* values = <const double*>_at(m, m.at_values)
    cdef const uint32_t* roots = <const uint32_t*>_at(m, m.at_roots)
    cdef uint32_t count = m.tree_count, ahead = min(count, <uint32_t>ABREAST), here, down, idle
    cdef uint32_t at[ABREAST]
    cdef uint32_t tree[ABREAST]
    cdef const node_t* n
    cdef uint32_t arrived
    cdef double v
    cdef int j
    for j in range(ABREAST):
        tree[j] = min(<uint32_t>j, count)
        at[j] = roots[tree[j]]
    while True:
        for j in range(ABREAST):
            here = at[j]
            n = &nodes[here]
            v = x[n.feature]
            arrived = n.leaf
            down = <uint32_t>(v > n.threshold)
            if missing:
                down |= <uint32_t>(v != v) & n.missing_right
            # A store at every step: on the way it is nothing yet, and the leaf's is the last one.
            leaves[tree[j]] = values[here]
            at[j] = roots[ahead] if arrived else n.left + down
            tree[j] = ahead if arrived else tree[j]
            ahead = min(ahead + arrived, count)
        if ahead == count:
            idle = 0
            for j in range(ABREAST):
                idle += tree[j] == count
            if idle == ABREAST:
                return


cdef void _trees(const model_t* m, const double* given, double* out) noexcept nogil:
    cdef double rounded[INPUTS_MAX]
    cdef double leaves[TREES_MAX + 1]
    cdef const double* x = given
    cdef const uint8_t* outputs = <const uint8_t*>_at(m, m.at_outputs)
    cdef uint32_t i
    if m.singles:
        for i in range(m.inputs):
            rounded[i] = <double><float>given[i]
        x = rounded
    if unlikely(_any_missing(m, given)):
        _walk(m, x, True, leaves)
    else:
        _walk(m, x, False, leaves)
    memcpy(out, _at(m, m.at_base), m.outputs * sizeof(double))
    # In the trees' order, as they were trained.
    for i in range(m.tree_count):
        out[outputs[i]] += leaves[i]


cdef void infer_run(const model_t* m, const double* x, double* out, int level) noexcept nogil:
    cdef uint32_t i
    if m.kind == MODEL_DENSE:
        # A ramp would lose what is missing, and so would a byte; through one layer of doubles it comes by itself.
        if (m.layer_count > 1 or (<const layer_t*>_at(m, m.at_layers)).narrow) and _any_missing(m, x):
            for i in range(m.outputs):
                out[i] = NAN
            return
        _dense(m, x, out, level)
    else:
        _trees(m, x, out)
    if m.link == LINK_LOGISTIC:
        for i in range(m.outputs):
            out[i] = logistic_c(out[i])
    elif m.link == LINK_SOFTMAX:
        softmax_c(out, m.outputs, out)
    for i in range(m.outputs):
        if unlikely(not isfinite(out[i])):
            out[i] = NAN


# ----------------------------------------------------------------------------------------------------------- the block
cdef inline bint _inside(const model_t* m, uint64_t at, uint64_t count, uint64_t size) noexcept nogil:
    """An array of `count` of `size` bytes lies behind the header, on a line, and ends before the block does."""
    return at >= sizeof(model_t) and at % 64 == 0 and at <= m.bytes and count <= (m.bytes - at) // size


cdef bint _check_dense(const model_t* m) noexcept nogil:
    cdef const layer_t* y
    cdef uint32_t l, before = m.inputs
    if not 1 <= m.layer_count <= LAYERS_MAX or not _inside(m, m.at_layers, m.layer_count, sizeof(layer_t)):
        return False
    if not _inside(m, m.at_centre, m.inputs, 8) or not _inside(m, m.at_factor, m.inputs, 8):
        return False
    for l in range(m.layer_count):
        y = &(<const layer_t*>_at(m, m.at_layers))[l]
        if y.inputs != before or not 1 <= y.outputs <= WIDTH_MAX or y.narrow > 1:
            return False
        if y.stride != ((y.inputs + 63) // 64 * 64 if y.narrow else (y.inputs + 7) // 8 * 8):
            return False
        if not _inside(m, y.at_weights, <uint64_t>y.stride * y.outputs, 1 if y.narrow else 8):
            return False
        if not _inside(m, y.at_bias, y.outputs, 8):
            return False
        if y.narrow and not (_inside(m, y.at_step, y.outputs, 8) and _inside(m, y.at_sums, y.outputs, 4)):
            return False
        before = y.outputs
    return before == m.outputs


cdef bint _check_trees(const model_t* m) noexcept nogil:
    cdef uint32_t i
    cdef const node_t* n
    if not 1 <= m.tree_count <= TREES_MAX or not m.tree_count <= m.node_count <= NODES_MAX or m.singles > 1:
        return False
    if not (_inside(m, m.at_nodes, m.node_count, sizeof(node_t)) and _inside(m, m.at_values, m.node_count, 8)
            and _inside(m, m.at_roots, m.tree_count + 1, 4) and _inside(m, m.at_outputs, m.tree_count, 1)
            and _inside(m, m.at_base, m.outputs, 8)):
        return False
    for i in range(m.node_count):
        n = &(<const node_t*>_at(m, m.at_nodes))[i]
        if n.feature >= m.inputs or n.missing_right > 1 or n.leaf > 1:
            return False
        if n.leaf and (n.left != i or n.threshold != INFINITY or n.missing_right):
            return False
        if not n.leaf and not (i < n.left and n.left < m.node_count - 1):
            return False
    for i in range(m.tree_count + 1):
        if (<const uint32_t*>_at(m, m.at_roots))[i] >= m.node_count:
            return False
    # Where the idle wait there is no way on.
    if not (<const node_t*>_at(m, m.at_nodes))[(<const uint32_t*>_at(m, m.at_roots))[m.tree_count]].leaf:
        return False
    for i in range(m.tree_count):
        if (<const uint8_t*>_at(m, m.at_outputs))[i] >= m.outputs:
            return False
    return True


cdef bint infer_check(const model_t* m, uint64_t size) noexcept nogil:
    if size < sizeof(model_t) or m.bytes != size or size % 64 or not 1 <= m.inputs <= INPUTS_MAX:
        return False
    if not 1 <= m.outputs <= OUTPUTS_MAX or m.link > LINK_SOFTMAX or m.reserved[0] | m.reserved[1] | m.reserved[2]:
        return False
    if m.kind == MODEL_DENSE:
        return _check_dense(m)
    return m.kind == MODEL_TREES and _check_trees(m)


# ------------------------------------------------------------------------------------------------------- Python face
class _Parts:
    """The arrays behind the header, each on a line of its own."""

    def __init__(self):
        self.parts, self.end = [], sizeof(model_t)

    def add(self, array):
        at, raw = self.end, np.ascontiguousarray(array).tobytes()
        part = raw.ljust((len(raw) + 63) // 64 * 64, b"\0")
        self.parts.append(part)
        self.end += len(part)
        return at


def _numbers(what, values, count):
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise ValueError(f"{what}: {count} finite numbers are needed")
    return array


def _rows(what, weights, inputs):
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != inputs or not 1 <= array.shape[0] <= WIDTH_MAX or not np.isfinite(array).all():
        raise ValueError(f"{what}: rows of {inputs} finite weights are needed, 1 to {WIDTH_MAX} of them")
    return array


cdef bytes _packed_layer(object parts, object layer, int inputs, int number):
    cdef layer_t y
    what = f"layer {number}"
    rows = _rows(what, layer["weights"], inputs)
    memset(&y, 0, sizeof(y))
    y.inputs, y.outputs = inputs, rows.shape[0]
    y.narrow = layer.get("step") is not None
    y.stride = (inputs + 63) // 64 * 64 if y.narrow else (inputs + 7) // 8 * 8
    padded = np.zeros((y.outputs, y.stride))
    padded[:, :inputs] = rows
    if y.narrow:
        step = float(layer["step"])
        if not 1e-300 < step < 1e300 or np.any(np.abs(rows) > 127) or np.any(rows != np.rint(rows)):
            raise ValueError(f"{what}: int8 weights are whole numbers up to 127, with a step of their inputs above 0")
        y.per_step = 1.0 / step
        y.at_step = parts.add(_numbers(what, layer["row_step"], y.outputs) * step)
        y.at_sums = parts.add((128 * rows.sum(axis=1)).astype(np.int32))
        padded = padded.astype(np.int8)
    y.at_weights = parts.add(padded)
    y.at_bias = parts.add(_numbers(what, layer["bias"], y.outputs))
    return (<const char*>&y)[:sizeof(y)]


cdef int _pack_dense(model_t* m, object parts, object spec) except -1:
    layers, before = spec["layers"], m.inputs
    if not 1 <= len(layers) <= LAYERS_MAX:
        raise ValueError(f"{len(layers)} layers; 1 to {LAYERS_MAX}")
    m.at_centre = parts.add(_numbers("centre", spec.get("centre", [0.0] * m.inputs), m.inputs))
    m.at_factor = parts.add(_numbers("factor", spec.get("factor", [1.0] * m.inputs), m.inputs))
    rows = []
    for number, layer in enumerate(layers):
        rows.append(_packed_layer(parts, layer, before, number))
        before = len(layer["weights"])
    if before != m.outputs:
        raise ValueError(f"the last layer has {before} outputs, the model {m.outputs}")
    m.layer_count = len(layers)
    m.at_layers = parts.add(np.frombuffer(b"".join(rows), dtype=np.uint8))
    return 0


def _tree(number, tree, inputs):
    """A tree's columns, checked: whatever is not a leaf has two children behind it, and every node one parent."""
    names = ("feature", "threshold", "left", "right", "missing_right", "value")
    rows = list(zip(*(tree[name] for name in names), strict=True))
    parents = [0] * len(rows)
    for at, (feature, threshold, left, right, _, value) in enumerate(rows):
        if feature < 0:
            if not np.isfinite(value):
                raise ValueError(f"tree {number}: leaf {at} has no finite value")
            continue
        if feature >= inputs or not np.isfinite(threshold) or not at < min(left, right) <= max(left, right) < len(rows):
            raise ValueError(f"tree {number}: node {at} splits on {feature} at {threshold} into {left} and {right}")
        parents[left] += 1
        parents[right] += 1
    if not rows or parents != [0] + [1] * (len(rows) - 1):
        raise ValueError(f"tree {number}: a node without a parent, or with two")
    return rows


def _laid(rows, first):
    """The nodes of one tree by depth, children side by side, as records from number `first` on."""
    nodes = np.zeros(len(rows), dtype=_NODE)
    values = np.zeros(len(rows))
    row, made = [0], 1
    place = {0: 0}
    while row:
        after = []
        for at in row:
            feature, threshold, left, right, missing_right, value = rows[at]
            mine = place[at]
            if feature < 0:
                nodes[mine] = (np.inf, first + mine, 0, 0, 1)
                values[mine] = value
                continue
            place[left], place[right] = made, made + 1
            nodes[mine] = (threshold, first + made, feature, bool(missing_right), 0)
            made += 2
            after += [left, right]
        row = after
    return nodes, values


_NODE = np.dtype([("threshold", "<f8"), ("left", "<u4"), ("feature", "<u2"), ("missing_right", "u1"), ("leaf", "u1")])


cdef int _pack_trees(model_t* m, object parts, object spec) except -1:
    nodes, values, roots, outputs, count = [], [], [], [], 0
    for number, tree in enumerate(spec["trees"]):
        rows = _tree(number, tree, m.inputs)
        made, mine = _laid(rows, count)
        if not 0 <= tree["output"] < m.outputs:
            raise ValueError(f"tree {number}: output {tree['output']} of {m.outputs}")
        roots.append(count)
        nodes.append(made)
        values.append(mine)
        outputs.append(tree["output"])
        count += len(rows)
    if not 1 <= len(roots) <= TREES_MAX or count > NODES_MAX:
        raise ValueError(f"{len(roots)} trees (1 to {TREES_MAX}) of {count} nodes together (up to {NODES_MAX})")
    m.tree_count, m.node_count, m.singles = len(roots), count, bool(spec.get("singles", False))
    # The last node of any tree is a leaf: the idle wait there.
    roots.append(count - 1)
    m.at_nodes, m.at_values = parts.add(np.concatenate(nodes)), parts.add(np.concatenate(values))
    m.at_roots, m.at_outputs = parts.add(np.array(roots, np.uint32)), parts.add(np.array(outputs, np.uint8))
    m.at_base = parts.add(_numbers("base", spec["base"], m.outputs))
    return 0


def pack(spec):
    """The block of a model, as bytes: what stands in a world. ValueError where the model is none."""
    cdef model_t m
    kinds, links = {"dense": MODEL_DENSE, "trees": MODEL_TREES}, {"none": LINK_NONE, "logistic": LINK_LOGISTIC, "softmax": LINK_SOFTMAX}
    if spec["kind"] not in kinds or spec["link"] not in links:
        raise ValueError(f"kind {spec['kind']!r} ({', '.join(kinds)}), link {spec['link']!r} ({', '.join(links)})")
    if not 1 <= spec["inputs"] <= INPUTS_MAX or not 1 <= spec["outputs"] <= OUTPUTS_MAX:
        raise ValueError(f"{spec['inputs']} inputs (1 to {INPUTS_MAX}), {spec['outputs']} outputs (1 to {OUTPUTS_MAX})")
    memset(&m, 0, sizeof(m))
    m.kind, m.link = kinds[spec["kind"]], links[spec["link"]]
    m.inputs, m.outputs = spec["inputs"], spec["outputs"]
    parts = _Parts()
    if m.kind == MODEL_DENSE:
        _pack_dense(&m, parts, spec)
    else:
        _pack_trees(&m, parts, spec)
    m.bytes = parts.end
    return (<const char*>&m)[:sizeof(m)] + b"".join(parts.parts)


def level(wanted=None):
    """The number of an instruction set's name, or of what this machine offers; above that is refused."""
    names = {"baseline": ISA_BASELINE, "v2": ISA_V2, "v3": ISA_V3, "v4": ISA_V4, "vnni": INFER_V_INT8}
    if wanted is None:
        return infer_level()
    if wanted not in names or names[wanted] > infer_level():
        raise ValueError(f"isa {wanted!r}: one of {', '.join(name for name in names if names[name] <= infer_level())}")
    return names[wanted]


@cython.final
cdef class Model:
    """One model: a spec as engine/strategy/models.py reads it from a file, or the packed bytes of one."""

    def __cinit__(self, spec, *, isa=None):
        cdef bytes block = spec if isinstance(spec, bytes) else pack(spec)
        self.level = level(isa)
        self.c = <model_t*>block_new(max(<size_t>len(block), sizeof(model_t)))
        memcpy(self.c, <const char*>block, len(block))
        if not infer_check(self.c, len(block)):
            raise ValueError("these bytes are no model")

    def __dealloc__(self):
        block_free(self.c)

    def run(self, const double[::1] x):
        """The outputs for one row of inputs."""
        cdef double[::1] out = np.empty(self.c.outputs)
        if x.shape[0] != self.c.inputs:
            raise ValueError(f"{x.shape[0]} inputs for {self.c.inputs}")
        infer_run(self.c, &x[0], &out[0], self.level)
        return np.asarray(out)

    def run_many(self, const double[:, ::1] rows):
        """The outputs for each row: the same answer in a loop."""
        cdef double[:, ::1] out = np.empty((rows.shape[0], self.c.outputs))
        cdef int64_t i
        if rows.shape[1] != self.c.inputs:
            raise ValueError(f"{rows.shape[1]} inputs for {self.c.inputs}")
        with nogil:
            for i in range(rows.shape[0]):
                infer_run(self.c, &rows[i, 0], &out[i, 0], self.level)
        return np.asarray(out)

    @property
    def inputs(self):
        return self.c.inputs

    @property
    def outputs(self):
        return self.c.outputs

    @property
    def digest(self):
        """SHA-256 of the block: the model's name wherever it is recorded."""
        return hashlib.sha256(self.state()).hexdigest()

    def state(self):
        return (<const char*>self.c)[:self.c.bytes]

    def check(self):
        """Walk every index of the block."""
        assert infer_check(self.c, self.c.bytes)
