// Guards in memory that only the GPU sees: writes the pattern into pieces of a block, and finds what
// changed in them. `src/guard/table.rs` makes the tables, `src/guard/layout.rs` has the same pattern.
//
// One workgroup a piece. Vulkan 1.0: storage buffers, 32 bits.

// A run of words that are nobody's; `low` and `high` are the index of the first in its block.
struct Piece {
    low: u32,
    high: u32,
    words: u32,
    zero: u32,
}

struct Table {
    // The index in its block of the window's first word, low bits.
    base: u32,
    // Where in the report the first piece is told.
    slot: u32,
    unused_a: u32,
    unused_b: u32,
    pieces: array<Piece>,
}

// What was found in a piece: its first damaged word, NONE without damage, and how many there are.
struct Seen {
    first: u32,
    found: u32,
    words: u32,
    unused: u32,
}

@group(0) @binding(0) var<storage, read_write> window: array<u32>;
@group(0) @binding(1) var<storage, read> table: Table;
@group(0) @binding(2) var<storage, read_write> report: array<Seen>;

const LANES = 64u;
const NONE = 0xffffffffu;

fn expected(piece: Piece, at: u32) -> u32 {
    var word = (piece.low + at) ^ (piece.high * 0x85ebca6bu) ^ 0xfe2ce905u;
    word *= 0x9e3779b1u;
    word ^= word >> 15u;
    word *= 0xc2b2ae35u;
    word ^= word >> 13u;
    return select(word, 0u, piece.zero != 0u);
}

// Leaves the piece as it is to be, all lanes together.
fn restore(piece: Piece, lane: u32) {
    let first = piece.low - table.base;
    for (var at = lane; at < piece.words; at += LANES) {
        window[first + at] = expected(piece, at);
    }
}

@compute @workgroup_size(64)
fn fill(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    restore(table.pieces[group.x], lane);
}

var<workgroup> first_damaged: atomic<u32>;
var<workgroup> damaged: atomic<u32>;

// Tells, and repairs: each trace is told once.
@compute @workgroup_size(64)
fn check(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let piece = table.pieces[group.x];
    let first = piece.low - table.base;
    if lane == 0u {
        atomicStore(&first_damaged, NONE);
        atomicStore(&damaged, 0u);
    }
    workgroupBarrier();
    for (var at = lane; at < piece.words; at += LANES) {
        if window[first + at] != expected(piece, at) {
            atomicMin(&first_damaged, at);
            atomicAdd(&damaged, 1u);
        }
    }
    workgroupBarrier();
    let least = atomicLoad(&first_damaged);
    if lane == 0u {
        var seen = Seen(NONE, 0u, 0u, 0u);
        if least != NONE {
            seen = Seen(least, window[first + least], atomicLoad(&damaged), 0u);
        }
        report[table.slot + group.x] = seen;
    }
    // The first lane has read the damaged word before any lane repairs it.
    workgroupBarrier();
    if least != NONE {
        restore(piece, lane);
    }
}
