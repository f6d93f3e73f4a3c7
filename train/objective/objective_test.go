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

// TestObjectiveParity compares each objective's loss and its gradients with respect
// to what the student gives for each view, as the learner calls it: in one pass
// where the views are coupled, in one a view elsewhere.
func TestObjectiveParity(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "objectives")
	var m struct {
		B, D, K int64
		Tau     float64
	}
	fix.Meta(&m)
	leaf := func(name string) *torch.Tensor {
		return nntest.FormulaTensor(name, 1, 0, m.B, m.D).SetRequiresGrad(true)
	}
	for name, inputs := range map[string]struct{ p, z, z2 []string }{
		"moco-v2": {p: []string{"query"}, z2: []string{"key"}},
		"simclr":  {p: []string{"view a", "view b"}},
		"byol":    {p: []string{"view a", "view b"}, z2: []string{"target a", "target b"}},
		"simsiam": {p: []string{"view a", "view b"}, z: []string{"z a", "z b"}},
		"nnclr":   {p: []string{"view a", "view b"}, z: []string{"z a", "z b"}},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := New(name, Options{Tau: m.Tau, Dim: int(m.D)})
			if err != nil {
				t.Fatal(err)
			}
			parts := o.Parts()
			if len(inputs.z2) != parts.TeacherViews || len(inputs.p) != parts.StudentViews {
				t.Fatalf("the objective takes %d teacher and %d student views", parts.TeacherViews, parts.StudentViews)
			}
			nntest.Do(t, func() {
				var leaves, z2, projections []*torch.Tensor
				var student []Embedding
				for i, p := range inputs.p {
					leaves = append(leaves, leaf(p))
					e := Embedding{P: Normalize(leaves[i])}
					e.Z = e.P
					if inputs.z != nil {
						projections = append(projections, leaf(inputs.z[i]))
						e.Z = Normalize(projections[i])
					}
					student = append(student, e)
				}
				for _, z := range inputs.z2 {
					z2 = append(z2, Normalize(nntest.FormulaTensor(z, 1, 0, m.B, m.D)))
				}
				b := Batch{Alpha: 1, Views: len(student), Stats: true}
				if parts.Queue != NoQueue {
					b.Queue = Normalize(nntest.FormulaTensor("queue", 1, 0, m.K, m.D))
				}
				targets := o.Targets(b, z2)
				var loss, agreement float32
				pass := func(student []Embedding) {
					l := o.Loss(b, student, targets)
					l.Total.BackwardWith(nil, true)
					loss += float32(l.Total.Item())
					agreement += float32(l.Agreement.Item())
				}
				if parts.Coupled {
					pass(student)
				} else {
					for v := range student {
						b.View = v
						pass(student[v : v+1])
					}
					agreement /= float32(len(student))
				}
				nntest.Close(t, "loss", []float32{loss}, fix.Float32s(name+".loss"), nntest.Tolerance)
				if fix.Has(name + ".agreement") {
					nntest.Close(t, "agreement", []float32{agreement}, fix.Float32s(name+".agreement"), nntest.Tolerance)
				}
				for i, p := range leaves {
					key := name + ".grad" + string(rune('0'+i))
					nntest.Close(t, key, p.Grad().Float32s(), fix.Float32s(key), nntest.Tolerance)
				}
				for i, z := range projections {
					if z.Grad() != nil {
						t.Errorf("the projection of view %d has a gradient, and the paper stops it there", i)
					}
				}
			})
		})
	}
}

// TestCosineParity compares the two forms of equation 2.
func TestCosineParity(t *testing.T) {
	nntest.Torch(t)
	fix := nntest.Load(t, "objectives")
	nntest.Do(t, func() {
		p, z := Normalize(nntest.FormulaTensor("view a", 1, 0, 8, 16)), Normalize(nntest.FormulaTensor("target b", 1, 0, 8, 16))
		cos, mse := NegativeCosine(p, z).Item(), SquaredDistance(p, z).Item()
		nntest.Close(t, "L_cos", []float32{float32(cos)}, fix.Float32s("cosine"), nntest.Tolerance)
		nntest.Close(t, "L_mse", []float32{float32(mse)}, fix.Float32s("mse"), nntest.Tolerance)
		if d := mse - (2 + 2*cos); d > 1e-5 || d < -1e-5 {
			t.Errorf("L_mse %v is not 2 + 2·L_cos %v", mse, 2+2*cos)
		}
	})
}
