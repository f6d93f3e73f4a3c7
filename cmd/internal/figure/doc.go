// Package figure draws what an encoder has learned, for people: the nearest
// neighbours of images as one sheet (the paper's Figure 2), and images laid out
// in the plane as a picture and as a page to hover over (Figure 3).
//
// It knows no data set and no encoder: pictures come as pixels, classes as names.
//
//	sheet := figure.Neighbours(blocks)                    // *image.RGBA
//	plot := figure.Scatter(points, figure.ScatterOptions{})
//	err := figure.Page(w, points, thumbnails, options)    // one HTML file, no network
package figure
