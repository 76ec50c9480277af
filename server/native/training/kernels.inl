// Fills the table of kernels.h for one instruction set. The including file defines ONEBIT_LANES,
// ONEBIT_TILE_ROWS, ONEBIT_TILE_VECTORS and ONEBIT_TABLE.
#include "training/kernels.h"
#include "training/simd.inl"
#include "training/gemm_tile.inl"
#include "training/pack.inl"
#include "training/norm.inl"
#include "training/softmax.inl"
#include "training/elementwise.inl"

namespace onebit::training {

const Kernels ONEBIT_TABLE = {
    kTileRows,     kTileVectors * kLanes,
    Tile,          PackPanel,     FmaChain,      LayerNorm,
    LayerNormGradient, RmsNorm,
    RmsNormGradient, RopeHead, SignRow,
    SignRowGradient, Swiglu,
    SwigluGradient, LogSumExp,
    ExpRow,        HighestOf,
    KlRow,         KlRowGradient,
    AttentionRowGradient, Dot,
    SumOf,         Difference,
    Blend,         Combine,
    Adam,          BinaryOf,
    BinaryNumber,  UnaryOf,
};

}  // namespace onebit::training
