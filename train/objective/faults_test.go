package objective

import (
	"slices"
	"strings"

	"resslt/train/torch"
)

// faults are what the parity test of the case has to see.
func (m method) faults() map[string]func(*method) {
	name, _, _ := strings.Cut(m.name, " ")
	all := map[string]func(*method){
		"":                        func(*method) {},
		"the gradient is 1 % off": func(m *method) { m.grad = 1.01 },
	}
	if slices.Contains([]string{"moco-v2", "moco-v2-symmetric", "infomin", "simclr", "nnclr", "moco-v3", "swav", "clsa", "isd", "mochi", "adco", "wcl", "fnc", "npid", "pcl-v2", "localagg", "pirl", "compress", "compress-1q", "disco", "bingo"}, name) {
		all["τ 1 % off"] = func(m *method) { m.Tau *= 1.01 }
	}
	switch name {
	case "dino":
		all["τ_t 1 % off"] = func(m *method) { m.TauT *= 1.01 }
		all["τ_t's start 1 % off"] = func(m *method) { m.TauTStart *= 1.01 }
		all["the centre's momentum 1 % off"] = func(m *method) { m.CentreMomentum *= 1.01 }
		all["τ_s 1 % off"] = func(m *method) { m.TauS *= 1.01 }
	case "seed":
		all["τ_t 1 % off"] = func(m *method) { m.TauT *= 1.01 }
		all["τ_s 1 % off"] = func(m *method) { m.TauS *= 1.01 }
	case "swav":
		all["ε 1 % off"] = func(m *method) { m.Epsilon *= 1.01 }
		all["an iteration is missing"] = func(m *method) { m.Iterations-- }
	case "w-mse":
		all["ε 1 % off"] = func(m *method) { m.WhitenEpsilon *= 1.01 }
		all["rows whitened together"] = func(m *method) { m.WhitenRows = 0 }
	case "clsa":
		all["β 1 % off"] = func(m *method) { m.Beta *= 1.01 }
	case "unigrad":
		all["λ 1 % off"] = func(m *method) { m.Repulsion *= 1.01 }
		all["ρ 1 % off"] = func(m *method) { m.Keep *= 1.01 }
	case "truncated-triplet":
		all["γ 1 % off"] = func(m *method) { m.Gamma *= 1.01 }
		all["the nearest counts"] = func(m *method) { m.RankFrom-- }
		all["the last rank is missing"] = func(m *method) { m.RankTo-- }
	case "mochi":
		all["the last of N is missing"] = func(m *method) { m.Hardest-- }
		all["the last of s is missing"] = func(m *method) { m.Mixed-- }
		all["the last of s' is missing"] = func(m *method) { m.Harder-- }
	case "adco":
		all["the adversaries' τ 1 % off"] = func(m *method) { m.AdversaryTau *= 1.01 }
	case "fixmatch", "uda":
		all["the fraction of labels 1 % off"] = func(m *method) { m.LabelFraction *= 1.01 }
		all["the weight 1 % off"] = func(m *method) { m.Consistency *= 1.01 }
		all["all are sure"] = func(m *method) { m.Confidence = 0 }
		all["a label is hidden"] = func(m *method) { m.Labels = append([]int64{-1}, m.Labels[1:]...) }
		if name == "uda" {
			all["the temperature 1 % off"] = func(m *method) { m.Sharpen *= 1.01 }
		}
	case "s4l":
		all["the fraction of labels 1 % off"] = func(m *method) { m.LabelFraction *= 1.01 }
		all["the weight 1 % off"] = func(m *method) { m.Consistency *= 1.01 }
		all["a label is hidden"] = func(m *method) { m.Labels = append([]int64{-1}, m.Labels[1:]...) }
	case "disco":
		all["the distance's weight 1 % off"] = func(m *method) { m.DistilWeight *= 1.01 }
	case "simdis":
		all["the teacher's views are exchanged"] = func(m *method) { m.crossed = func(_ *Batch, z2 []*torch.Tensor) { slices.Reverse(z2) } }
		all["the average's views are exchanged"] = func(m *method) { m.crossed = func(b *Batch, _ []*torch.Tensor) { slices.Reverse(b.Keys) } }
	case "bingo":
		all["anchors and mates are exchanged"] = func(m *method) {
			m.crossed = func(_ *Batch, z2 []*torch.Tensor) {
				two := torch.Reshape(z2[0], []int64{-1, 2, m.D})
				z2[0] = torch.Reshape(torch.Flip(two, []int64{1}), []int64{-1, m.D})
			}
		}
		all["the boxes are of another size"] = func(m *method) { m.Side++ }
		all["the warm-up is taken for the other"] = func(m *method) { m.early = true }
		if m.name != name {
			all["the warm-up is taken for the other"] = func(m *method) { m.over = true }
		}
	case "fnc":
		all["the last false negative is missing"] = func(m *method) { m.FalseTop-- }
		all["the threshold is higher"] = func(m *method) { m.FalseAbove = 0.5 }
	case "npid":
		all["the bank's momentum 1 % off"] = func(m *method) { m.BankMomentum *= 1.01 }
		all["the proximal λ 1 % off"] = func(m *method) { m.Proximal *= 1.01 }
		all["a sample is another"] = func(m *method) { m.IDs = append([]int64{4}, m.IDs[1:]...) }
		if m.name == "npid" {
			all["a negative is missing"] = func(m *method) { m.BankNegatives-- }
		}
	case "cpc-v2":
		all["the nearest positives are missing"] = func(m *method) { m.StepFrom++ }
		all["the furthest positives are missing"] = func(m *method) { m.StepTo-- }
		all["a block is missing"] = func(m *method) { m.ContextBlocks-- }
		for a, b := range map[string]string{"down.": "up.", "up.": "left.", "left.": "right.", "step2": "step3", "block0": "block1"} {
			all[a+" is "+b] = func(m *method) { m.exchanged = []string{a, b, b, a} }
		}
	case "pirl":
		all["the bank's momentum 1 % off"] = func(m *method) { m.BankMomentum *= 1.01 }
		all["a sample is another"] = func(m *method) { m.IDs = append([]int64{4}, m.IDs[1:]...) }
		all["a negative is missing"] = func(m *method) { m.BankNegatives-- }
	case "pcl-v2":
		all["a sample is another"] = func(m *method) { m.IDs = append([]int64{4}, m.IDs[1:]...) }
		all["the clusterings are one"] = func(m *method) { m.Clusters = m.Clusters[:1] }
	case "localagg":
		all["the bank's momentum 1 % off"] = func(m *method) { m.BankMomentum *= 1.01 }
		all["the last neighbour is missing"] = func(m *method) { m.Neighbours-- }
	case "barlow-twins":
		all["λ 1 % off"] = func(m *method) { m.OffDiagonal *= 1.01 }
	case "vicreg":
		all["the invariance 1 % off"] = func(m *method) { m.Invariance *= 1.01 }
		all["the variance 1 % off"] = func(m *method) { m.Variance *= 1.01 }
		all["the covariance 1 % off"] = func(m *method) { m.Covariance *= 1.01 }
	}
	if meth, err := MethodOf(name); err == nil && !meth.Parts().Coupled && len(inputs[m.name].p) > 1 {
		all["a view's term is missing"] = func(m *method) { m.drop = true }
	}
	return all
}
