package schemas

// Encoding is the form of Sample.Data.
type Encoding uint8

const (
	// Encoded is a whole JPEG, PNG or WebP file; its first bytes say which, never
	// its name. Width and Height are zero.
	Encoded Encoding = iota
	// RawRGB is Height×Width×3 uint8, interleaved, row-major (HWC).
	RawRGB
	// RawGray is Height×Width uint8, row-major.
	RawGray
)

// NoLabel marks a sample without a label.
const NoLabel int32 = -1

// Sample is one undecoded image of the data set: what ingest returns and augment
// takes.
type Sample struct {
	ID    int64  // position in the manifest, 0 ≤ ID < number of samples n; of a mixture, modulo n
	Key   string // name within the data set, for messages: "train/cat/0001.jpg"
	Label int32  // class, for evaluation only; NoLabel if it has none

	Encoding Encoding
	Width    int    // pixels; zero for Encoded
	Height   int    // pixels; zero for Encoded
	Data     []byte // owned by the caller of Read, which may reuse its capacity
}
