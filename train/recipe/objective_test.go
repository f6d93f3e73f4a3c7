package recipe_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/recipe"
)

// The rules depend on the objective: only ReSSL has two temperatures, and only a queue
// needs K above the batch.
func TestObjectivesHaveTheirOwnRules(t *testing.T) {
	for _, tc := range []struct {
		set  []string
		fine bool
	}{
		{[]string{"tau_t=0.1"}, false},
		{[]string{"tau_t=0.1", "flat_target=true"}, true},
		{[]string{"tau_t=0.1", "objective=byol"}, true},
		{[]string{"K=64"}, false},
		{[]string{"K=64", "objective=simclr"}, true},
		{[]string{"K=64", "objective=nnclr"}, false},
		{[]string{"objective=mochi"}, true}, // N is at most K
		{[]string{"objective=mochi", "mochi_hardest=300"}, false},
		{[]string{"mochi_hardest=300"}, true},
		{[]string{"objective=truncated-triplet"}, true},
		{[]string{"objective=truncated-triplet", "triplet_ranks=[2, 64]"}, false},
		{[]string{"objective=truncated-triplet", "batch_size=16", "accumulate=2"}, false},
		{[]string{"triplet_ranks=[3, 2]"}, false},
		{[]string{"triplet_ranks=[2]"}, false},
		{[]string{"objective=cpc-v2", "cpc_steps=[1, 5]"}, true},
		{[]string{"cpc_steps=[1, 6]"}, false}, // the grid has six rows
		{[]string{"cpc_steps=[0, 3]"}, false},
		{[]string{"cpc_steps=[3]"}, false},
		{[]string{"cpc_blocks=0"}, false},
		{[]string{"objective=fnc", "fnc_top=128"}, true},
		{[]string{"objective=fnc", "fnc_top=129"}, false},
		{[]string{"adco_weight_decay=1"}, false},
		{[]string{"objective=npid", "bank_negatives=0"}, true},
		{[]string{"objective=pirl", "bank_negatives=0"}, false},
		{[]string{"bank_negatives=-1"}, false},
		{[]string{"bank_momentum=1"}, false},
		{[]string{"cluster_every=0"}, false},
		{[]string{"clusters=[1]"}, false},
		{[]string{"objective=disco"}, false},    // without a teacher
		{[]string{"objective=fixmatch"}, false}, // without the number of classes
		{[]string{"objective=fixmatch", "classes=10"}, true},
		{[]string{"classes=1"}, true}, // which other objectives do not read
		{[]string{"label_fraction=0"}, false},
		{[]string{"objective=disco", "teacher=FILE"}, true},
		{[]string{"objective=disco", "teacher=FILE", "disco_weight=-1"}, false},
	} {
		r, err := recipe.Load("smoke")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(r.Set(tc.set...), r.Resolve(host)); (err == nil) != tc.fine {
			t.Errorf("%v: %v", tc.set, err)
		}
	}
}

// TestSides: the views that each network sees, and unsuitable policies.
func TestSides(t *testing.T) {
	views := func(roles string) (out []schemas.ViewSpec) {
		for i, r := range roles {
			v := schemas.ViewSpec{Name: string(rune('a' + i)), Role: schemas.Student, Size: 8}
			switch r {
			case 't':
				v.Role = schemas.Teacher
			case 'l': // a local crop
				v.Size = 4
			}
			out = append(out, v)
		}
		return out
	}
	for _, tc := range []struct {
		objective, views string
		crops            int
		teacher, student []int
		says             string
	}{
		{"ressl", "ts", 0, []int{0}, []int{1}, ""},
		{"ressl", "stss", 0, []int{1}, []int{0, 2, 3}, ""},
		{"ressl", "tss", 1, []int{0}, []int{1}, ""},
		{"ressl", "tss", 3, nil, nil, "crops"},
		{"ressl", "tt", 0, nil, nil, "policy=small"},
		{"moco-v2", "ts", 0, []int{0}, []int{1}, ""},
		{"moco-v2", "tss", 0, []int{1}, []int{2}, ""},
		{"simclr", "st", 0, nil, []int{1, 0}, ""},
		{"simclr", "t", 0, nil, nil, "policy=simclr"},
		{"byol", "tss", 0, []int{1, 2}, []int{1, 2}, ""},
		{"simsiam", "tsssss", 0, nil, nil, "1 teacher and 5 student views"},
		{"nnclr", "ss", 0, nil, []int{0, 1}, ""},
		{"cpc", "ts", 0, nil, nil, "nnclr"},
		{"dino", "ts", 0, []int{0, 1}, []int{0, 1}, ""},
		{"dino", "ttll", 0, []int{0, 1}, []int{0, 1, 2, 3}, ""},
		{"dino", "ltlt", 1, []int{1, 3}, []int{1, 3, 0}, ""},
		{"dino", "ttll", 3, nil, nil, "crops"},
		{"dino", "ttss", 0, []int{2, 3}, []int{2, 3}, ""}, // of one size: a pair
		{"swav", "ttlll", 0, nil, []int{0, 1, 2, 3, 4}, ""},
		{"byol", "ttll", 0, []int{0, 1}, []int{0, 1, 2, 3}, ""},
		{"moco-v2", "ttll", 0, []int{0}, []int{1, 2, 3}, ""},
		{"barlow-twins", "ttll", 0, nil, []int{2, 3}, ""}, // takes no local crops
		{"barlow-twins", "ttlll", 0, nil, nil, "policy=byol"},
		{"clsa", "tss", 0, []int{0}, []int{1, 2}, ""},
		{"clsa", "ts", 0, nil, nil, "two or more student views"},
		{"w-mse", "ssss", 0, nil, []int{0, 1, 2, 3}, ""},
		{"w-mse", "tss", 0, nil, []int{1, 2}, ""},
		{"w-mse", "ts", 0, nil, nil, "policy=small-4crop"},
		{"isd", "ts", 0, []int{0}, []int{1}, ""},
		{"unigrad", "ttll", 0, []int{0, 1}, []int{0, 1, 2, 3}, ""},
		{"truncated-triplet", "ts", 0, []int{0, 1}, []int{0, 1}, ""},
		{"mochi", "ts", 0, []int{0}, []int{1}, ""},
		{"mochi", "ttlll", 0, nil, nil, "policy=moco-v2"}, // takes no local crops
		{"adco", "ttll", 0, []int{0}, []int{1, 2, 3}, ""},
		{"wcl", "tss", 0, nil, []int{1, 2}, ""},
		{"fnc", "tssss", 3, nil, []int{1, 2, 3}, ""},
		{"fnc", "ts", 0, nil, nil, "policy=small-4crop"},
		{"npid", "tss", 0, nil, []int{1}, ""},
		{"localagg", "ts", 0, nil, []int{1}, ""},
		{"rotation", "ts", 0, nil, []int{1}, ""},
		{"relative-loc", "tss", 0, nil, []int{1}, ""},
		{"cpc-v2", "ts", 0, nil, []int{1}, ""},
		{"pirl", "ss", 0, nil, []int{0, 1}, ""},
		{"infomin", "tss", 0, []int{0}, []int{1, 2}, ""},
		{"infomin", "tsss", 0, nil, nil, "policy=infomin"}, // takes no third
		{"infomin", "ts", 0, nil, nil, "policy=infomin"},
		{"npid", "t", 0, nil, nil, "a student view"},
		{"pcl-v2", "ts", 0, []int{0}, []int{1}, ""},
		{"seed", "tss", 0, []int{1}, []int{1}, ""},
		{"seed", "t", 0, nil, nil, "a student view"},
		{"compress", "tss", 0, []int{1}, []int{1}, ""},
		{"compress-1q", "ts", 0, []int{1}, []int{1}, ""},
		{"fixmatch", "ts", 0, nil, []int{0, 1}, ""},
		{"uda", "tss", 0, nil, []int{0, 1}, ""}, // not a pair of strong ones
		{"fixmatch", "ss", 0, nil, nil, "policy=fixmatch"},
		{"uda", "t", 0, nil, nil, "one teacher view"},
		{"disco", "ts", 0, []int{0, 1}, []int{0, 1}, ""},
		{"disco", "ttlll", 0, nil, nil, "policy=moco-v2"}, // takes no local crops
		{"bingo", "ss", 0, []int{0}, []int{1}, ""},
		{"bingo", "t", 0, nil, nil, "policy=moco-v2"},
		{"simdis", "ss", 0, []int{0, 1}, []int{0, 1}, ""},
		{"simdis", "ttlll", 0, nil, nil, "policy=byol"},
	} {
		teacher, student, err := recipe.Sides(tc.objective, tc.crops, views(tc.views))
		if tc.says != "" {
			if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s on %s: %v, want a usage error that says %q", tc.objective, tc.views, err, tc.says)
			}
			continue
		}
		if err != nil || !slices.Equal(teacher, tc.teacher) || !slices.Equal(student, tc.student) {
			t.Errorf("%s on %s: teacher %v, student %v, %v; want %v, %v", tc.objective, tc.views, teacher, student, err, tc.teacher, tc.student)
		}
	}
}
