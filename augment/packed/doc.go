// Package packed restores JPEG files from packs: a JPEG's quantized coefficients, coded
// without loss for fast decoding. Package turbo makes packs and decodes their pixels;
// this package, in pure Go, gives back the file that was packed, byte for byte.
//
//	pack, why, err := restorer.Seal(coefficients, jpeg) // turbo's part, and the skeleton
//	jpeg, err := restorer.Restore(pack, limits)
//
// # Vocabulary
//
//	pack          one JPEG: header, coefficients, skeleton
//	skeleton      the file without its entropy-coded bytes: metadata, tables, frame and scan headers
//	plane         a component's blocks, padded to whole MCUs, as libjpeg keeps them
//	entropy-coded what the Huffman coder writes between SOS and the next marker but RST
//	padding       the bits that fill the last byte in front of a marker: ones, but for some cameras
//
// # Restoring
//
//	restore:
//	    skeleton → stream of markers: SOI … DHT … SOS ┊ SOS ┊ EOI, and what comes behind
//	    at each SOS (┊): encode the scan's coefficients by the tables and the restart
//	        interval that hold there
//	    the length and SHA-256 are those of the file that was packed
//
// The standard leaves the encoder choices in progressive scans: where a run of blocks that
// end is written. The encoder here chooses as libjpeg does. Whatever it can't know (another
// choice, bytes between segments, coefficients that a table has no code for) is found by
// Seal, which restores every file and compares: such a file stays a JPEG.
//
// # The format, version 1
//
// Integers are little-endian. A pack holds one JPEG of 8 bits and 1 or 3 components,
// Huffman-coded, baseline, extended or progressive.
//
//	offset  type      field
//	0       [8]byte   magic 89 52 44 43 54 0D 0A 1A, "\x89RDCT\r\n\x1a"
//	8       u8        version, 1
//	9       u8        colour: 0 grey, 1 YCbCr, 2 RGB: what libjpeg makes of the markers
//	10      u8        components n: 1 or 3
//	11      u8        quantization tables t: 1 to 3; bit 7: their entries are u16, else u8
//	12      u16       width
//	14      u16       height
//	16      u32       bytes of the coefficients
//	20      u32       bytes of the skeleton
//	24      u32       bytes of the JPEG; the pack has at most 1024 more than twice as many
//	28      n·3 u8    of each component: h, v, number of its table
//	        t·64      tables, row by row, no entry 0
//	        (R+1) u32 offsets of the R rows into the coefficients; the last is their end
//	                  coefficients
//	        64 zeros  so that vectors may be loaded past the end
//	                  skeleton (skeleton.go), to the end
//
// Rows are in the file's order: for each row of MCUs, for each component, its v rows of
// blocks. A row is cut into segments of 64 blocks, the last one shorter; in front of them
// are their lengths, u16, without the last one's. A segment of n blocks is these streams,
// each of whole bytes, unused bits 0:
//
//	L  4 bits a block     bytes of its mask, 0 to 8; the first of two is the lower nibble
//	M  bytes              masks: bit i is set where AC coefficient i+1, in zigzag order, isn't 0;
//	                      the last byte isn't 0
//	D  1 byte a block     DC, difference to the block before in the segment; −128: see D2
//	D2 2 bytes each       DC itself, for each −128
//	S  1 bit each         AC coefficients that aren't 0: negative
//	G  1 bit each         |v| > 1
//	V  4 bits for each G  |v|−2; 15: see E
//	E  1 byte each        |v|−17 up to 110; or 128 + |v| / 256
//	P  1 byte each        |v| mod 256, for E from 128
//
// An encoder has no choice: equal coefficients have equal bytes.
//
// # Invariants
//
//   - Restore returns the bytes that were packed, or an error.
//   - Lengths are checked before memory is allocated: a block takes at least 12 bits of a
//     pack, and no more bytes are written than the header says. The work is bounded by blocks × scans (maxScans), as for JPEG.
package packed
