package eval

// For the tests of the parts of protocols.
var (
	AveragePrecision = averagePrecision
	DrawShots        = drawShots
	Join             = join
)

// Rows is a copy of the features, (N,D) row-major.
func (s *Set) Rows() ([]float32, error) { return s.rows() }

// Target is +1, 0 or −1 of a row for a class.
func (s *Set) Target(row, class int) int8 { return s.target(row, class) }
