"""A trained model as a block of plain memory, and its answer to one row of features.

Two kinds. `dense`: one to four layers of weights with a ramp between them, so a linear or logistic model is one layer and
a small network several; a layer's weights are doubles, or int8 with a step for its inputs and one for each output.
`trees`: an ensemble of decision trees, boosted or averaged, in flat arrays. Outputs pass a link: none, logistic, softmax.

Owns: the block, its layout and its walk. Does not own: what the inputs are (the file's feature hash says it, see
engine/strategy/models.py), files, importers, training.

Invariants. The block holds no pointer: it lies in the world beside the features that feed it, so it is hashed, copied
and recovered with them. `infer_check` walks every index, so a block that passed it cannot be left. A tree's children
stand behind their parent and beside each other, so every walk ends. The same inputs give the same bits on every instruction set: eight partial sums in one written order, integer
sums where weights are int8 (exact in any order), an exponential of our own (stable). An output that is not finite is
NaN. A missing input (NaN) makes every output of a dense model NaN; a tree goes the way that it learned for it.

Cost (bench_infer.py): some 40 ns for 32 inputs with a logistic link, about 1 us for 100 trees of 31 leaves.
"""
from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    INPUTS_MAX = 256
    OUTPUTS_MAX = 8
    LAYERS_MAX = 4
    WIDTH_MAX = 256               # outputs of a layer
    ABREAST = 8                   # trees that are walked together
    TREES_MAX = 4096
    NODES_MAX = 1 << 22


cdef enum:
    INFER_V_INT8 = 5              # one level above isa_t: AVX-512 with its products of bytes (VNNI)


cdef enum model_kind_t:
    MODEL_DENSE = 1
    MODEL_TREES = 2


cdef enum model_link_t:
    LINK_NONE = 0
    LINK_LOGISTIC = 1
    LINK_SOFTMAX = 2


cdef struct layer_t:              # 64 bytes
    uint32_t inputs
    uint32_t outputs
    uint32_t narrow               # 1: int8 weights
    uint32_t stride               # of a row of weights: whole lines
    double per_step               # int8: 1 / the step of its inputs
    uint64_t at_weights           # offsets from the header
    uint64_t at_bias
    uint64_t at_step              # int8: what one of the integer sum is worth, by output
    uint64_t at_sums              # int8: 128 times the sum of a row: inputs are stored 128 too large
    uint64_t reserved


cdef struct node_t:               # 16 bytes
    double threshold              # of a leaf +inf: it never goes on
    uint32_t left                 # the right one stands behind it; a leaf's is itself
    uint16_t feature
    uint8_t missing_right
    uint8_t leaf


cdef struct model_t:              # 128 bytes
    uint64_t bytes
    uint32_t kind
    uint32_t inputs
    uint32_t outputs
    uint32_t link
    uint32_t layer_count
    uint32_t tree_count
    uint32_t node_count
    uint32_t singles              # 1: inputs are rounded to single precision first, as they were in training
    uint64_t at_centre            # dense: inputs are moved by this ..
    uint64_t at_factor            # .. and multiplied by that
    uint64_t at_layers
    uint64_t at_nodes
    uint64_t at_values            # a double a node: a leaf's value
    uint64_t at_roots             # uint32 a tree, and one more: the leaf on which who has no tree waits
    uint64_t at_outputs           # uint8 a tree: which output it is added to
    uint64_t at_base              # a double an output: what a sum of trees begins with
    uint64_t reserved[3]


# What the caller has asked once: isa_level(), or INFER_V_INT8 where the machine has that too.
cdef int infer_level() noexcept nogil
cdef void infer_run(const model_t* m, const double* x, double* out, int level) noexcept nogil
# Whether `size` bytes are a model from end to end: everything that a walk follows lies inside.
cdef bint infer_check(const model_t* m, uint64_t size) noexcept nogil


cdef class Model:
    cdef model_t* c
    cdef int level
