package objective

import (
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestEquationParity compares equations 1, 3, 4, 5 and 7 and their gradients
// with respect to the student's embeddings.
func TestEquationParity(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "objective")
	var m struct {
		B, D, K    int64
		Alpha, Tau float64
		TauS       float64 `json:"tau_s"`
		TauT       float64 `json:"tau_t"`
	}
	fix.Meta(&m)
	compared := 0
	compare := func(what string, got *torch.Tensor) {
		compared++
		nntest.Close(t, what, got.Float32s(), fix.Float32s(what), nntest.Tolerance)
	}
	for _, loss := range []string{"relation", "infonce", "total"} {
		nntest.Do(t, func() {
			student := nntest.FormulaTensor("student", 1, 0, m.B, m.D).SetRequiresGrad(true)
			z2 := Normalize(nntest.FormulaTensor("teacher", 1, 0, m.B, m.D))
			queue := Normalize(nntest.FormulaTensor("queue", 1, 0, m.K, m.D))
			z1 := Normalize(student)
			s1 := Similarities(z1, queue)
			logP1 := RelationLogProbs(s1, m.TauS)
			p2 := RelationTarget(Similarities(z2, queue), m.TauT)
			relation := RelationalLoss(p2, logP1)
			nce := InfoNCE(z1, z2, s1, m.Tau)
			value := map[string]*torch.Tensor{"relation": relation, "infonce": nce, "total": WarmUp(relation, nce, m.Alpha)}[loss]
			if loss == "total" {
				compare("z1", z1)
				compare("p1", torch.Exp(logP1))
				compare("p2", p2)
			}
			compare(loss, value)
			value.Backward()
			compare(loss+".grad", student.Grad())
		})
	}
	if compared != fix.Len() {
		t.Errorf("compared %d of the fixture's %d tensors", compared, fix.Len())
	}
}

func TestWarmUpEnds(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		a, b := torch.FromFloat32([]float32{3}), torch.FromFloat32([]float32{7})
		if got := WarmUp(a, nil, 1).Item(); got != 3 {
			t.Errorf("α = 1 gives %v, want the relational loss 3", got)
		}
		if got := WarmUp(nil, b, 0).Item(); got != 7 {
			t.Errorf("α = 0 gives %v, want InfoNCE 7", got)
		}
		if got := WarmUp(a, b, 0.25).Item(); got != 6 {
			t.Errorf("α = ¼ gives %v, want 6", got)
		}
	})
}
