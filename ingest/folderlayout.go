package ingest

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// folderTree is what is below a data set's folder, on a disk or in a bucket. Paths are
// '/'-separated and relative to the folder, which is ".". Folders that passFolder names
// are not there.
type folderTree interface {
	// subs are the sorted names of the sub-folders; ErrNotFound where there is no folder.
	subs(dir string) ([]string, error)
	// firstImage is the path of an image at any depth below a folder; "" for none.
	firstImage(ctx context.Context, dir string) (string, error)
	// read reads a small file; ErrNotFound where there is none.
	read(ctx context.Context, file string) ([]byte, error)
	// loose are the images right in a folder, and what is passed over there.
	loose(ctx context.Context, dir string) ([]foundFile, Survey, error)
	// list lists the images right in the root, shard ".", and all those below its class
	// folders, bytewise. A class folder that is not there is nil. checked: folders of
	// several splits beside one another are an error.
	list(ctx context.Context, root string, classes []string, checked bool) ([]*folderShard, error)
}

// folderShard is what was found in a class folder.
type folderShard struct {
	found   []foundFile
	passed  Survey
	folders []folderStamp // of a disk: those of the shard
	kept    *kept         // it is what it was, and was not listed; then nothing else is set
}

// addMissing counts the images that a list gives a label and that are not there.
func (s *folderShard) addMissing(labels map[string]int32) {
	there := make(map[string]bool, len(s.found))
	for _, f := range s.found {
		there[f.name] = true
	}
	for name := range labels {
		if !there[name] {
			s.passed.Add("labels without an image", name)
		}
	}
}

// foundFile is a candidate found in a folder.
type foundFile struct {
	name   string // relative to the shard, '/'-separated
	size   int64
	mtime  int64
	change uint64 // as in stamp
}

// folderLayout is how a folder is read for one split.
type folderLayout struct {
	root    string           // of the split
	classes []string         // of all splits together, sorted
	labels  map[string]int32 // of the images right in the root, by name; nil where the folders are the classes
	listing Survey           // what was passed over above the root
	settled bool             // the user said which folder is the split
}

// layoutPlanner finds the layout of a folder.
type layoutPlanner struct {
	ctx     context.Context
	tree    folderTree
	dir     string              // for messages
	split   string              // that was asked for
	folders map[string][]string // of each split
	labels  imageLabels         // of the images of the split that was asked for
	listing Survey
}

// planFolder decides which folder is the split and which folders are its classes.
// named are the folders that the user named.
func planFolder(ctx context.Context, tree folderTree, dir, split string, named map[string]string) (*folderLayout, error) {
	p := &layoutPlanner{ctx: ctx, tree: tree, dir: dir, split: split}
	subs, err := tree.subs(".")
	if err != nil {
		return nil, err
	}
	if err := p.findSplits(subs, named); err != nil {
		return nil, err
	}
	if len(p.folders) == 0 {
		if split != Train {
			return nil, p.missing(fmt.Sprintf("make a sub-folder %s, give --split %s=FOLDER if it has another name, or leave the split out", split, split))
		}
		return p.unsplit(subs)
	}
	mine, err := p.choose()
	if err != nil {
		return nil, err
	}
	l := &folderLayout{root: mine, settled: slices.Contains(slices.Collect(maps.Values(named)), mine)}
	if mine == "." {
		l.classes = subs
		return l, nil
	}
	if err := p.passAbove("."); err != nil {
		return nil, err
	}
	if err := p.findClasses(l); err != nil {
		return nil, err
	}
	l.listing = p.listing
	return l, nil
}

func (p *layoutPlanner) missing(hint string) error {
	return errs.New("open folder", p.dir, hint, errs.Because(errs.ErrNotFound, "has no split "+p.split))
}

// findSplits finds the folders of splits: those named, and the sub-folders that are
// called so. No folders: the data set is not split. A sub-folder beside them that is
// neither and has images is an error, unless the user named some.
func (p *layoutPlanner) findSplits(subs []string, named map[string]string) error {
	p.folders = map[string][]string{}
	for s, f := range named {
		if _, err := p.tree.subs(f); err != nil {
			return err
		}
		p.folders[s] = []string{f}
	}
	if named[p.split] == "." {
		return nil
	}
	known := splitsAmong(subs)
	var unknown []string
	for _, sub := range subs {
		s := known[sub]
		taken := false
		for _, f := range named {
			taken = taken || holds(sub, f) || holds(f, sub)
		}
		switch {
		case taken:
		case s == "":
			unknown = append(unknown, sub)
		case named[s] == "" && (s != TrainVal || named[Train] == "" || p.split == TrainVal):
			p.folders[s] = append(p.folders[s], sub)
		default:
			p.listing.Add("folders that are not those of the splits", sub)
		}
	}
	if len(p.folders) == 0 {
		return nil
	}
	for _, sub := range unknown {
		image, err := p.tree.firstImage(p.ctx, sub)
		switch {
		case err != nil:
			return err
		case image == "":
			p.listing.Add("folders without an image, beside those of the splits", sub)
		case len(named) > 0:
			p.listing.Add("folders that are not those of the splits", sub)
		default:
			return p.unknownFolder(sub, image, known)
		}
	}
	return nil
}

// unknownFolder is the error of a folder beside those of splits. It may be one more
// split, or none, or the splits may be classes: each reading has its flag.
func (p *layoutPlanner) unknownFolder(sub, image string, known map[string]string) error {
	splits := sortedSplits(p.folders)
	first := p.folders[splits[0]][0]
	if own := p.folders[p.split]; len(own) > 0 {
		first = own[0]
	}
	return errs.New("open folder", p.dir,
		fmt.Sprintf("if %[1]s is no part of it, give --split %[2]s=%[3]s; if %[1]s is the split, --split %[4]s=%[1]s; if %[3]s is a class, --split %[4]s=.; in a data URI ?%[2]s=%[3]s and so on",
			sub, known[first], first, p.split),
		errs.Because(errs.ErrUsage, fmt.Sprintf("is %s a split? folder %s, beside it, is none by its name and holds images (%s)", first, sub, image)))
}

// splitChoices are the splits whose folder serves for the one asked for, the preferred
// one first: many data sets are published with the labels of train and val alone, some
// with both in one, trainval, which is another split only where train is there too.
var splitChoices = map[string][]string{
	Train: {Train, TrainVal}, Test: {Test, Val}, Val: {Val}, Unlabeled: {Unlabeled}, TrainVal: {TrainVal},
}

// choose is the folder of the split.
func (p *layoutPlanner) choose() (string, error) {
	for _, s := range splitChoices[p.split] {
		switch f := p.folders[s]; len(f) {
		case 0:
		case 1:
			return f[0], nil
		default:
			return "", errs.New("open folder", p.dir, fmt.Sprintf("name the right one: --split %s=%s, or ?%s=%s in the data URI", s, f[0], s, f[0]),
				errs.Because(errs.ErrUsage, fmt.Sprintf("split %s may be any of %s", s, strings.Join(f, ", "))))
		}
	}
	var has []string
	for _, s := range sortedSplits(p.folders) {
		has = append(has, fmt.Sprintf("%s (%s)", s, strings.Join(p.folders[s], ", ")))
	}
	return "", p.missing(fmt.Sprintf("give one of its splits, %s, or --split %s=FOLDER", strings.Join(has, ", "), p.split))
}

// splitPart is the folder of a split, as far as classes are concerned.
type splitPart struct {
	root    string   // the folder, or one below it that an archive has put there
	subs    []string // of root
	wrapper bool     // subs may be a class, or one more such folder
	above   string   // the folder above root where that is images/ beside labels/; "" else
	empty   []string // what is there without an image
}

// findClasses sets the classes, those of all splits together, so that a class that one
// split lacks does not shift labels; and the split's own root.
func (p *layoutPlanner) findClasses(l *folderLayout) error {
	var parts []splitPart
	mine := 0
	for _, s := range sortedSplits(p.folders) {
		for _, f := range p.folders[s] {
			if s == Unlabeled && f != l.root {
				continue // its folders are no classes
			}
			one, err := p.openPart(s, f)
			if err != nil {
				return err
			}
			if f == l.root {
				mine = len(parts)
			}
			parts = append(parts, one)
			if !one.wrapper {
				l.classes = append(l.classes, one.subs...)
			}
		}
	}
	if err := p.enterWrappers(parts, l); err != nil {
		return err
	}
	named := len(l.classes) > 0
	for i, one := range parts {
		in := one.root
		switch {
		case one.wrapper && named && !slices.Contains(l.classes, one.subs[0]):
			in = path.Join(one.root, one.subs[0])
		case one.wrapper:
			l.classes = append(l.classes, one.subs...)
			fallthrough
		case len(one.subs) > 0:
			if i == mine {
				l.root = one.root
			}
			continue
		}
		labels, err := p.readLabels(one.root)
		if labels == nil && err == nil && one.above != "" {
			labels, err = p.readLabels(one.above)
		}
		if err != nil {
			return err
		}
		for _, class := range labels {
			l.classes = append(l.classes, class)
		}
		if i != mine {
			continue
		}
		l.root, p.labels = in, labels
		if in != one.root {
			if err := p.passAbove(one.root); err != nil {
				return err
			}
		}
	}
	if one := parts[mine]; one.above != "" {
		p.passEmpty(one.above, one.empty)
		if err := p.passAbove(one.above); err != nil {
			return err
		}
	}
	slices.Sort(l.classes)
	l.classes = slices.Compact(l.classes)
	l.labels = p.labels.numbered(l.classes)
	return nil
}

// openPart looks at the folder of a split. Archives may have doubled it:
// training_set/training_set.
func (p *layoutPlanner) openPart(split, folder string) (splitPart, error) {
	one := splitPart{root: folder}
	for double := true; ; double = false {
		subs, err := p.tree.subs(one.root)
		if err != nil {
			return one, err
		}
		one.subs, one.wrapper = subs, false
		inner, empty, err := p.onlyImages(one.root, subs)
		if err != nil {
			return one, err
		}
		if inner != "" {
			one.root, one.above, one.empty = inner, one.root, empty
			one.subs, err = p.tree.subs(inner)
			return one, err
		}
		if len(subs) != 1 || !isWrapper(subs[0]) && !(double && parseSplitName(subs[0]).split == split) {
			return one, nil
		}
		loose, _, err := p.tree.loose(p.ctx, one.root)
		if err != nil || len(loose) > 0 {
			return one, err
		}
		if one.wrapper = isWrapper(subs[0]); one.wrapper {
			return one, nil
		}
		one.root = path.Join(one.root, subs[0])
	}
}

// passAbove counts what is passed over in a folder above the split's root.
func (p *layoutPlanner) passAbove(dir string) error {
	images, passed, err := p.tree.loose(p.ctx, dir)
	if err != nil {
		return err
	}
	prefix := ""
	if dir != "." {
		prefix = dir + "/"
	}
	if dir != "." && p.labels != nil {
		passed = passed.Without(passLabels) // they were read
	}
	p.listing.Merge(escapeName(prefix), passed)
	for _, f := range images {
		p.listing.Add("images beside the folders of the split", prefix+f.name)
	}
	return nil
}

// listLayout lists the images of a layout: the index without hashes. Shard "." holds
// the images that are in no class folder.
func listLayout(ctx context.Context, tree folderTree, dir string, l *folderLayout) (*index, error) {
	shards, err := tree.list(ctx, l.root, l.classes, !l.settled)
	if err != nil {
		return nil, err
	}
	x := newIndex()
	x.listing.Merge("", l.listing)
	x.Checked = !l.settled
	for i, s := range shards {
		name := "."
		if i > 0 {
			name = l.classes[i-1]
		}
		switch {
		case s == nil:
			continue // a class of another split
		case s.kept != nil:
			if err := x.addKept(s.kept, int32(i-1)); err != nil {
				return nil, errs.New("open folder", store.Join(dir, l.root, name), "split the data set into several", err)
			}
			x.Folders = append(x.Folders, s.kept.of.Folders[s.kept.shard])
		case len(s.found) > 0:
			if name == "." && l.labels != nil {
				s.passed = s.passed.Without(passLabels)
				s.addMissing(l.labels)
			}
			// Shard "." comes first: its label is -1, NoLabel.
			if err := x.addFolder(name, s, int32(i-1), l.labels); err != nil {
				return nil, errs.New("open folder", store.Join(dir, l.root, name), "remove the file, or split the data set into several", err)
			}
			x.Folders = append(x.Folders, s.folders)
		default:
			prefix := ""
			if name != "." {
				x.listing.Add("class folders without an image", name)
				prefix = escapeName(name) + "/"
			}
			x.listing.Merge(prefix, s.passed)
		}
	}
	return x, nil
}
