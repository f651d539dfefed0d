package main

// texts is all the command says in one language. They stand here and not in the
// product's catalogue because the command shares nothing with the product but
// package evidence.
type texts struct {
	usage, badKey, untold string

	file, clause, period, made, org, standing, fact, population, gap, log, checked, origin, problem, result string

	rests, word, claimed, populationText, lost, lostUnknown, logText, checkedText, originGood, originOpen, more string

	good, wrong, unchecked string

	clauses, standings, reasons, problems, causes map[string]string
}

func textsIn(lang string) texts {
	if lang == "zh" {
		return chinese()
	}
	return english()
}

func english() texts {
	return texts{
		usage: `usage: garrison-verify [--key FILE] [--json] [--lang zh|en] BUNDLE
       garrison-verify [--key FILE] [--json] [--lang zh|en] --entry FILE RECEIPT

  --key FILE    public key of the operator's ledger (name+hash+key, one a line);
                without it nobody can tell whose bundle it is
  --entry FILE  check a receipt: FILE holds the ledger entry it is for
  --json        print one JSON object
  --lang        zh or en; otherwise LC_ALL, LC_MESSAGES, LANG

Exit status: 0 good, 1 wrong, 2 usage, 3 could not tell.
`,
		badKey: "cannot use key file", untold: "could not tell",
		file: "File", clause: "Clause", period: "Period", made: "Made", org: "Organisation", standing: "Standing",
		fact: "Fact", population: "Looked at", gap: "Gap", log: "Ledger", checked: "Proven", origin: "Origin", problem: "Wrong", result: "Result",
		rests: "rests on ledger entries %s", word: "stated by the operator", claimed: " (claimed, not proven)",
		populationText: "%d attempted, %d succeeded, %d failed, %d unreachable",
		lost:           "%d records lost", lostUnknown: "records lost: unknown",
		logText: "%s, %d entries", checkedText: "%d ledger entries, %d records, %d transcripts",
		originGood: "checked: the log's checkpoint is signed with the key given",
		originOpen: "not checked",
		more:       "and %d more; --json lists them",
		good:       "good",
		wrong:      "wrong: %s",
		unchecked:  "consistent; origin not checked",
		clauses: map[string]string{
			"mps82-8-2":  "MPS Decree 82, art. 8(2): address translations are recorded and kept",
			"mps82-13":   "MPS Decree 82, art. 13: records can be kept for at least sixty days",
			"mps82-14-1": "MPS Decree 82, art. 14(1): protective measures are not stopped without authority",
			"govqa-9b":   "Government applications, Q9 (art. 15): links are listed, checked and put right",
		},
		standings: map[string]string{"unproven": "unproven", "met": "met", "unmet": "unmet", "out_of_scope": "out of scope", "not_in_force": "not in force"},
		reasons:   reasonsEN(),
		problems: map[string]string{
			"file":          "the file is not a whole bundle",
			"limit":         "larger than a limit allows",
			"bytes":         "bytes were changed",
			"form":          "cannot be read as what it should be",
			"checkpoint":    "the checkpoint is unreadable or not signed with the key given",
			"inclusion":     "the entry is not in the log",
			"seal":          "the log does not hold what is stated",
			"standing":      "the facts give another standing",
			"support":       "a fact lacks the evidence it names",
			"sample":        "the record is not in its chunk",
			"transcript":    "no run names this transcript",
			"contradiction": "two things in the bundle exclude each other",
		},
		causes: map[string]string{"stopped": "stopped", "crashed": "crashed", "silent": "source silent", "lost": "records lost",
			"not_installed": "not installed", "maintenance": "maintenance"},
	}
}

func reasonsEN() map[string]string {
	return map[string]string{
		"nothing_here_answers":       "nothing here answers this yet",
		"profile_not_set":            "nobody has said what the organisation is",
		"not_bound":                  "the clause does not bind this organisation",
		"authority_only":             "the clause binds only an authority",
		"not_in_force":               "the rule takes effect later",
		"fact.missing":               "a fact is missing",
		"fact.malformed":             "a fact cannot be read",
		"fact.contradictory":         "two facts exclude each other",
		"records.lost":               "records of the last 24 hours are known to be lost",
		"records.source_silent":      "a source that should send records is silent",
		"records.no_source":          "no source is registered",
		"records.none":               "no records in the last 24 hours",
		"records.loss_unknown":       "whether records were lost is not known",
		"records.unwatched":          "part of the last 24 hours was not watched",
		"records.kept":               "every expected source was heard, and nothing was lost",
		"retention.expired_early":    "records were removed before their time",
		"retention.floor_low":        "the floor is below sixty days",
		"retention.forecast_short":   "at today's intake the disk holds less than sixty days",
		"retention.forecast_unknown": "how long the disk will hold is not known",
		"retention.kept":             "the sixty days are enforced and the disk holds them",
		"watch.crashed":              "the product crashed in the last 24 hours; meanwhile nobody watched",
		"watch.stopped":              "protection stopped in the last 24 hours without approval",
		"watch.measure_off":          "a measure that should be on is not",
		"watch.heartbeats_unknown":   "heartbeats do not account for the period",
		"watch.nothing_expected":     "no measure is expected to be on",
		"watch.gap_in_period":        "the period holds a gap that nobody approved",
		"watch.kept":                 "heartbeats cover the period and every measure is on",
		"links.open":                 "bad links are open",
		"links.overdue":              "a site was not looked at within seven days",
		"links.no_site":              "no site is registered",
		"links.no_run":               "a site has never been looked at",
		"links.run_unknown":          "the newest look at a site could not tell",
		"links.untold":               "some links could not be told good or bad",
		"links.checked":              "every site's links were listed and checked, none is bad",
	}
}

func chinese() texts {
	return texts{
		usage: `用法：garrison-verify [--key 文件] [--json] [--lang zh|en] 证据包
      garrison-verify [--key 文件] [--json] [--lang zh|en] --entry 文件 回执

  --key 文件    运营者账本的公钥（name+hash+key，每行一个）；
                不给公钥就无法判断证据包出自谁
  --entry 文件  核验回执：文件内是该回执所证明的账本条目
  --json        输出一个 JSON 对象
  --lang        zh 或 en；不指定时依次取 LC_ALL、LC_MESSAGES、LANG

退出码：0 通过，1 有误，2 用法错误，3 无法判断。
`,
		badKey: "公钥文件不可用", untold: "无法判断",
		file: "文件", clause: "条款", period: "期间", made: "制作时间", org: "单位", standing: "符合情况",
		fact: "事实", population: "检查范围", gap: "缺口", log: "账本", checked: "已证明", origin: "来源", problem: "错误", result: "结论",
		rests: "依据账本条目 %s", word: "运营者自述", claimed: "（仅为自称，未证明）",
		populationText: "应查 %d，成功 %d，失败 %d，不可达 %d",
		lost:           "丢失记录 %d 条", lostUnknown: "丢失数量不明",
		logText: "%s，共 %d 条", checkedText: "账本条目 %d，记录 %d，过程记录 %d",
		originGood: "已核验：检查点由所给公钥签名",
		originOpen: "未核验",
		more:       "另有 %d 项，见 --json",
		good:       "通过",
		wrong:      "有误：%s",
		unchecked:  "内容一致；来源未核验 (consistent; origin not checked)",
		clauses: map[string]string{
			"mps82-8-2":  "公安部令第82号第八条第（二）项：记录并留存地址转换对应关系",
			"mps82-13":   "公安部令第82号第十三条：记录备份至少保存六十天",
			"mps82-14-1": "公安部令第82号第十四条第（一）项：不得擅自停止安全保护技术措施",
			"govqa-9b":   "政务应用解读第9问（第十五条）：建立链接清单，定期检查，及时处置异常链接",
		},
		standings: map[string]string{"unproven": "未证明", "met": "符合", "unmet": "不符合", "out_of_scope": "不适用", "not_in_force": "尚未施行"},
		reasons:   reasonsZH(),
		problems: map[string]string{
			"file":          "文件不是完整的证据包",
			"limit":         "超出大小上限",
			"bytes":         "字节被改动",
			"form":          "内容不合格式",
			"checkpoint":    "检查点无法读取，或不是由所给公钥签名",
			"inclusion":     "该条目不在账本中",
			"seal":          "账本中没有与所述内容一致的封存",
			"standing":      "由事实得不出所述的符合情况",
			"support":       "事实所依据的证据不在包内",
			"sample":        "该记录不在其所属的记录块中",
			"transcript":    "没有检查运行引用该过程记录",
			"contradiction": "包内两处内容互相矛盾",
		},
		causes: map[string]string{"stopped": "停止", "crashed": "崩溃", "silent": "来源静默", "lost": "记录丢失",
			"not_installed": "尚未安装", "maintenance": "维护"},
	}
}

func reasonsZH() map[string]string {
	return map[string]string{
		"nothing_here_answers":       "目前没有任何功能能回答此条",
		"profile_not_set":            "尚未填写本单位身份",
		"not_bound":                  "此条不约束本单位",
		"authority_only":             "此条只约束主管部门",
		"not_in_force":               "规定尚未施行",
		"fact.missing":               "缺少所需事实",
		"fact.malformed":             "有事实无法读取",
		"fact.contradictory":         "有事实互相矛盾",
		"records.lost":               "近24小时内已知有记录丢失",
		"records.source_silent":      "有应发送记录的来源静默",
		"records.no_source":          "尚未登记来源",
		"records.none":               "近24小时没有记录",
		"records.loss_unknown":       "是否丢失记录不明",
		"records.unwatched":          "近24小时内有时段无人值守",
		"records.kept":               "应有来源均有记录，且无丢失",
		"retention.expired_early":    "有记录未到期即被清除",
		"retention.floor_low":        "留存下限低于六十天",
		"retention.forecast_short":   "按当前接入量，磁盘存不满六十天",
		"retention.forecast_unknown": "磁盘可存天数不明",
		"retention.kept":             "六十天下限已强制执行，磁盘容量足够",
		"watch.crashed":              "近24小时内程序曾崩溃，其间无人值守",
		"watch.stopped":              "近24小时内未经批准停止过防护",
		"watch.measure_off":          "有应开启的措施未开启",
		"watch.heartbeats_unknown":   "心跳不足以说明整个期间",
		"watch.nothing_expected":     "没有应开启的措施",
		"watch.gap_in_period":        "期间内有未经批准的缺口",
		"watch.kept":                 "心跳覆盖整个期间，应开启的措施均已开启",
		"links.open":                 "有异常链接尚未处置",
		"links.overdue":              "有网站超过七天未检查",
		"links.no_site":              "尚未登记网站",
		"links.no_run":               "有网站从未检查",
		"links.run_unknown":          "有网站最近一次检查未得出结论",
		"links.untold":               "有链接无法判断是否正常",
		"links.checked":              "各网站链接清单均已建立并检查，无异常链接",
	}
}
