package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// Names that are ours; everything else among the assets is somebody else's and stands
// in the manifest.
var ours = map[string]bool{"tokens.css": true, "components.css": true, "product.css": true, "console.js": true, "icon.svg": true}

func TestVendoredFilesAreWhatTheManifestSays(t *testing.T) {
	raw, err := assetFiles.ReadFile("assets/vendored.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ File, Package, Version, Licence, SHA256 string }
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"vendored.json": true}
	for _, v := range list {
		if v.Package == "" || v.Version == "" || v.Licence == "" {
			t.Errorf("%s: package, version or licence is missing", v.File)
		}
		body, err := assetFiles.ReadFile("assets/" + v.File)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		if got := hex.EncodeToString(sum[:]); got != v.SHA256 {
			t.Errorf("%s has SHA-256 %s, the manifest says %s", v.File, got, v.SHA256)
		}
		listed[v.File] = true
	}
	dir, err := assetFiles.ReadDir("assets")
	if err != nil {
		t.Fatal(err)
	}
	if len(dir) < 6 {
		t.Fatalf("%d assets, expected at least 6", len(dir))
	}
	for _, f := range dir {
		if !ours[f.Name()] && !listed[f.Name()] {
			t.Errorf("%s is neither ours nor in the manifest", f.Name())
		}
	}
}

func TestTallyTeethFollowTheDigest(t *testing.T) {
	// The example that stands in the drawings: digest 44ce91bd.
	upper, lower := teeth("44ce91bd")
	if want := "M0 0H40V9.5H35V7.5H30V3.5H25V7.5H20V9.5H15V9.5H10V5.5H5V5.5H0Z"; upper != want {
		t.Errorf("upper half\n got %s\nwant %s", upper, want)
	}
	if want := "M0 14H40V10.9H35V8.9H30V4.9H25V8.9H20V10.9H15V10.9H10V6.9H5V6.9H0Z"; lower != want {
		t.Errorf("lower half\n got %s\nwant %s", lower, want)
	}
	if a, _ := teeth("44ce91bd"); a == func() string { b, _ := teeth("04ce91bd"); return b }() {
		t.Error("two digests that differ in the first tooth look the same")
	}
}

func TestAssetAddressesCarryTheirDigest(t *testing.T) {
	for name := range ours {
		at := asset(name)
		w := httptest.NewRecorder()
		serveAsset(w, httptest.NewRequest("GET", at, nil))
		if w.Code != 200 {
			t.Errorf("%s: status %d", at, w.Code)
			continue
		}
		if !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s may not be kept: %q", at, w.Header().Get("Cache-Control"))
		}
	}
	w := httptest.NewRecorder()
	serveAsset(w, httptest.NewRequest("GET", "/assets/tokens.0000000000000000.css", nil))
	if w.Code != 404 {
		t.Errorf("an address with another digest: status %d, want 404", w.Code)
	}
}
