package objective

import "resslt/train/torch"

// A bank is a buffer (N,D) with a row of unit length for each sample of the data set, N of them
// (Options.Samples). An objective that has one sets Parts.Keyed: the learner then hands the
// batch's samples to every pass (Batch.Samples), and the objective passes them on to Update, as
// the first of its Rows. Rows begin at random, as in NPID's paper (arXiv 1805.01978, section 3.1).

const bankName = "bank"

// bank declares it.
func (o Options) bank() Tensor {
	return Tensor{Name: bankName, Shape: []int64{int64(o.Samples), int64(o.Dim)}, Start: UnitRows}
}

// banked is an objective that compares the student with a bank alone. Its Loss puts the batch's
// samples and their embeddings into Rows, which move the bank.
type banked struct{ o Options }

// Targets are none: what the student is compared with is the bank.
func (m banked) Targets(Batch, []*torch.Tensor) Targets { return Targets{} }

// Update moves the bank's rows.
func (m banked) Update(s State, rows []*torch.Tensor) {
	remember(s[bankName], rows[0], rows[1], m.o.BankMomentum)
}

// remember moves the rows of a batch's samples (B) towards z (B,D), row ← momentum·row +
// (1−momentum)·z of unit length. Of several rows of one sample the last one counts, whatever the
// device writes first.
func remember(bank, samples, z *torch.Tensor, momentum float64) {
	at := lastOf(samples)
	if momentum > 0 {
		was := torch.IndexSelect(bank, 0, samples)
		z = Normalize(torch.Add(torch.MulScalar(was, momentum), z, 1-momentum))
	}
	torch.IndexCopy_(bank, 0, samples, torch.IndexSelect(z, 0, at))
}

// lastOf is for each row of samples (B) int64 the last row of the same sample.
func lastOf(samples *torch.Tensor) *torch.Tensor {
	b := samples.Size(0)
	order := torch.Arange(1, float64(b+1), 1, torch.Float32, samples.Device())
	same := torch.Eq(torch.Unsqueeze(samples, 1), torch.Unsqueeze(samples, 0)) // (B,B)
	return torch.Argmax(torch.Mul(same.To(samples.Device(), torch.Float32, false), order), &last, false)
}

// rowsOf are rows of a table (N,·) by numbers (B,C) int64, (B,C,·).
func rowsOf(table, numbers *torch.Tensor) *torch.Tensor {
	rows := torch.IndexSelect(table, 0, torch.Reshape(numbers, []int64{-1}))
	return torch.Reshape(rows, []int64{numbers.Size(0), numbers.Size(1), table.Size(1)})
}

// against are the similarities (B,C) of z (B,D) to a bank's rows by numbers (B,C) int64.
func against(z, bank, numbers *torch.Tensor) *torch.Tensor {
	products := torch.Matmul(rowsOf(bank, numbers), torch.Unsqueeze(z, 2))
	return torch.Reshape(products, numbers.Shape())
}
