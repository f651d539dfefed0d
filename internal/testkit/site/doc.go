// Package site is a real web site on loopback with chosen defects, and the foreign
// hosts it links to: what measures are tested against, and what the demonstration
// shows as a town's portal.
//
// One [Site] is a portal on 127.0.0.1 and foreign hosts on 127.0.0.2, 127.0.0.3 …
// (where a system has no such addresses, on further ports of 127.0.0.1). Every host
// serves the same defects, each under its own path (see [Path]): dead, forbidden,
// hanging, endless, looping, exploding and so on. The portal's pages are set with
// SetPage; [New] comes with the town portal, whose one dead link [Site.Repair]
// brings back to life.
//
// It listens on loopback only and promises nothing about speed.
package site
