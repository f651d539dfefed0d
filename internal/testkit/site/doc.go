// Package site is a real web site on loopback with chosen defects: what measures are
// tested against and what the demonstration shows as a town's portal.
package site
