package site

// TownName is the fictional town whose portal the site plays.
const TownName = "青檀县人民政府"

// DeadURL is the portal's link that is dead until Repair.
func (s *Site) DeadURL() string { return s.Foreign(1, MaybeDead) }

// portal sets the town portal's pages: most links work, one is dead, and one leads to
// another host until Repair replaces it by the library's present address.
func (s *Site) portal() {
	s.mu.Lock()
	library := `{{2}}/moved`
	if s.repaired {
		library = `{{3}}/ok`
	}
	s.mu.Unlock()
	s.setPage("/", frame("首页", `
<ul class="news">
<li><a href="/tongzhi/">关于开展 2026 年度冬季安全生产检查的通知</a></li>
<li><a href="/zwgk/">政府信息公开目录</a></li>
</ul>
<h2>便民服务</h2>
<ul>
<li><a href="{{1}}/maybe-dead">不动产登记网上办事指南</a></li>
<li><a href="{{1}}/ok">县人民医院预约挂号</a></li>
<li><a href="`+library+`">县图书馆</a></li>
</ul>
<h2>友情链接</h2>
<ul>
<li><a href="{{2}}/ok">市人民政府</a></li>
<li><a href="{{3}}/">公共资源交易中心</a></li>
<li><a href="{{4}}/ok">县融媒体中心</a></li>
</ul>`))
	s.setPage("/tongzhi/", frame("通知公告", `
<p>各乡镇人民政府、县直各部门：请于 12 月 20 日前完成自查。附件见
<a href="{{2}}/ok">市应急管理局网站</a>。</p>
<p><a href="/">返回首页</a></p>`))
	s.setPage("/zwgk/", frame("政府信息公开", `
<p><a href="/tongzhi/">通知公告</a> · <a href="{{4}}/ok">县融媒体中心</a></p>`))
}

func frame(title, body string) string {
	return `<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>` + title + ` - ` + TownName + `</title>
<style>body{font:16px/1.7 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}footer{margin-top:3rem;color:#666}</style>
</head><body><h1>` + TownName + `</h1>` + body + `
<footer>主办单位：` + TownName + `办公室（演示站点，并非真实机构） <br>联系电话：000-0000000</footer>
</body></html>`
}
