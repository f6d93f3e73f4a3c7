package ingest

import (
	"path"
	"slices"
	"strings"
)

// YOLO's and Roboflow's layout: images/1.jpg beside labels/1.txt, in a split or without.

// unsplit is the layout of a folder without splits: its sub-folders are classes, but for
// images/ beside labels/ without an image.
func (p *layoutPlanner) unsplit(subs []string) (*folderLayout, error) {
	inner, empty, err := p.onlyImages(".", subs)
	if err != nil || inner == "" {
		return &folderLayout{root: ".", classes: subs}, err
	}
	below, err := p.tree.subs(inner)
	if err != nil || len(below) > 0 {
		return &folderLayout{root: ".", classes: subs}, err
	}
	p.passEmpty(".", empty)
	if err := p.passAbove("."); err != nil {
		return nil, err
	}
	return &folderLayout{root: inner, listing: p.listing}, nil
}

// onlyImages is the one of several sub-folders that holds all images, if its name is that
// of a wrapper, as in the layout of YOLO and Roboflow, images/1.jpg beside labels/1.txt; ""
// where there is none such. empty are the others.
func (p *layoutPlanner) onlyImages(dir string, subs []string) (inner string, empty []string, err error) {
	called := func(sub string) bool { return isWrapper(sub) && strings.Trim(sub, "0123456789") != "" }
	if len(subs) < 2 || !slices.ContainsFunc(subs, called) {
		return "", nil, nil
	}
	if loose, _, err := p.tree.loose(p.ctx, dir); err != nil || len(loose) > 0 {
		return "", nil, err
	}
	for _, sub := range subs {
		image, err := p.tree.firstImage(p.ctx, path.Join(dir, sub))
		switch {
		case err != nil:
			return "", nil, err
		case image == "":
			empty = append(empty, sub)
		case inner != "" || !called(sub):
			return "", nil, nil
		default:
			inner = sub
		}
	}
	if inner == "" {
		return "", nil, nil
	}
	return path.Join(dir, inner), empty, nil
}

// passEmpty counts the folders beside the one of the images.
func (p *layoutPlanner) passEmpty(dir string, empty []string) {
	for _, sub := range empty {
		p.listing.Add("folders without an image, beside that of the images", path.Join(dir, sub))
	}
}

// enterWrappers enters the folder of images of every split, if one of them has folders
// without an image beside it: test/images, where there are train/images and train/labels.
func (p *layoutPlanner) enterWrappers(parts []splitPart, l *folderLayout) (err error) {
	if !slices.ContainsFunc(parts, func(one splitPart) bool { return one.above != "" }) {
		return nil
	}
	for i, one := range parts {
		if !one.wrapper || slices.Contains(l.classes, one.subs[0]) {
			continue
		}
		one.root, one.above, one.wrapper = path.Join(one.root, one.subs[0]), one.root, false
		if one.subs, err = p.tree.subs(one.root); err != nil {
			return err
		}
		parts[i] = one
		l.classes = append(l.classes, one.subs...)
	}
	return nil
}
