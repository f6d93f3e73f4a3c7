package schemas

// Encoding says what Sample.Data holds.
type Encoding uint8

const (
	// Encoded: a whole JPEG, PNG or WebP file, told apart by its first bytes
	// and never by its name. Width and Height are zero.
	Encoded Encoding = iota
	// RawRGB: Height×Width×3 uint8, interleaved, row-major (HWC).
	RawRGB
	// RawGray: Height×Width uint8, row-major.
	RawGray
)

// NoLabel marks a sample without a label.
const NoLabel int32 = -1

// Sample is one image as it lies in the data set, not yet decoded: what ingest
// gives and augment takes.
type Sample struct {
	ID    int64  // position in the manifest, 0 ≤ ID < number of samples
	Key   string // name within the data set, for messages: "train/cat/0001.jpg"
	Label int32  // class, for evaluation only; NoLabel if there is none

	Encoding Encoding
	Width    int    // pixels; zero for Encoded
	Height   int    // pixels; zero for Encoded
	Data     []byte // owned by the reader's caller; a Read may reuse its capacity
}
