package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed assets
var assetFiles embed.FS

// assets are the embedded files by the address that carries their digest, so that a
// browser may keep them for ever and never shows an old one.
type assets struct {
	address map[string]string // name -> address
	content map[string][]byte // address -> bytes
	kind    map[string]string // address -> content type
}

var loadAssets = sync.OnceValue(func() *assets {
	a := &assets{map[string]string{}, map[string][]byte{}, map[string]string{}}
	err := fs.WalkDir(assetFiles, "assets", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := assetFiles.ReadFile(p)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, "assets/")
		sum := sha256.Sum256(raw)
		ext := path.Ext(name)
		addr := "/assets/" + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.address[name], a.content[addr] = addr, raw
		a.kind[addr] = map[string]string{
			".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json",
		}[ext]
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("console: embedded assets: %v", err)) // a build mistake; tests find it first
	}
	return a
})

// asset returns the address of an embedded file.
func asset(name string) string { return loadAssets().address[name] }

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a := loadAssets()
	raw, ok := a.content[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind[r.URL.Path])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(raw)
}
