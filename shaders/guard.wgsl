// Guards in memory that only the GPU accesses: writes the pattern into pieces of a block, and finds
// what has changed in them. `src/guard/table.rs` makes the tables, and `src/guard/layout.rs` contains
// the same pattern.
//
// One workgroup processes each piece. Requires only Vulkan 1.0: storage buffers, and 32-bit integers.

// A run of words that have no owner. `low` and `high` are the index of the first word in its block.
struct Piece {
    low: u32,
    high: u32,
    words: u32,
    zero: u32,
}

struct Table {
    // The index of the first word of the window in its block, low bits.
    base: u32,
    // The index of the first piece in the report.
    slot: u32,
    unused_a: u32,
    unused_b: u32,
    pieces: array<Piece>,
}

// The result for a piece: its first damaged word (NONE if there is no damage), and their number.
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

// Writes the expected contents of the piece, with all lanes.
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

// Reports damage and repairs it, so that it is reported once.
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
